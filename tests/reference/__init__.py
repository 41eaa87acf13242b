"""The second implementation of the rule book: slow, plain, derived from RULES.md alone.

It exists to disagree with the columnar planner wherever one of the two has misread a rule. It therefore imports nothing
from the product and goes one contact and one day at a time.
"""
