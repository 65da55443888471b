"""Prompt sets: a bank of neutral captions, concepts woven into them, and files of prompts."""
