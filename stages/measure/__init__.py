"""measure: figures of every row, of which the filter has its rules."""
