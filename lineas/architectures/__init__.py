"""What is known of image models: where each is steered and how it is called. Data, for every face."""
