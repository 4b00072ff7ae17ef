"""What people read and hear, in each language: one catalogue for all services, and the code that fills its texts.

A folder for each language holds the texts of the pages, of notices, and around codes. README.md is for translators.
"""
