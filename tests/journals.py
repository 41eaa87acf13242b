"""A journal for tests: keeps what it is told."""


class ListJournal:
    """Records (level, event, facts) in order."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, dict[str, object]]] = []

    def info(self, event: str, **facts: object) -> None:
        self.records.append(("info", event, facts))

    def warning(self, event: str, **facts: object) -> None:
        self.records.append(("warning", event, facts))

    def error(self, event: str, **facts: object) -> None:
        self.records.append(("error", event, facts))

    def events(self) -> list[str]:
        return [event for _, event, _ in self.records]
