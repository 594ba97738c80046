"""Tools of builds and of people who debug them, tried for real."""
