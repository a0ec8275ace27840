"""The paper's comparisons, each by one command that trains what is missing and prints the table."""
