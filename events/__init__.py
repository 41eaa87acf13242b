"""The contract with the world: event types, their schemas and samples, and the wire shapes they travel in.

Everything here is pure: bytes and headers in, typed values or reasons out. It knows no cloud, no clock and no disk.
"""
