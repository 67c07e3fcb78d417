"""What is done to the data: one file a stage, plain functions over Arrow tables."""
