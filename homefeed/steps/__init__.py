"""What each pipeline step does, in plain Python: open artifacts, call the domain, save.

A component in components/ is one call of a function here (or, where Feast is needed, in
feature_repo/). Settings come as the recipe's section in JSON, or as a recipe's name.
"""
