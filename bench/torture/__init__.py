"""`python dev.py torture`: real processes are killed, stopped, cut off and filled up; rows are judged."""
