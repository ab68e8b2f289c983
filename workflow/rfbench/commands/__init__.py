"""The verbs of the command line, one file each: options, printing, exit status. What computes is in the other rooms."""
