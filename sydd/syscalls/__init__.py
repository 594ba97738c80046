"""System calls as data: numbers, arguments, what they ask for, which are refused."""
