"""Tests of sydd; every directory below is a package, so that two modules may have one name."""
