"""Ways out, attempted: each first seen to work without sydd, then under each engine; seen from outside."""
