"""Joins the rooms below: models kept loaded, files embedded into folders, folders searched."""
