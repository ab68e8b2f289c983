"""From records to what is read: metrics.csv, tables, figures, and the way back from a cell to its runs."""
