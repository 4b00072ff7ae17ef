"""What people read and hear, in each language: one catalogue for all services, and how its texts are filled.

A folder for each language holds its texts of the pages, of notices, and around codes. README.md is for translators.
"""
