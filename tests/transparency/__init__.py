"""What is allowed behaves as it does natively: one act, with and without sydd, compared from outside."""
