"""For authors of operators: a file to begin with, the contract as clauses, the list of what is registered."""
