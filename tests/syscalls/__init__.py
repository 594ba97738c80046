"""Tests of the system call table."""
