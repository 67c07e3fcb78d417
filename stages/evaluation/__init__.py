"""What the evaluation measures: quality, speed, and the machine both were measured on."""
