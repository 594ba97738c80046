"""The daemon: sessions of many users, their workers, and what the host has to do with it."""
