"""Whole networks that compete beside the operator pairs: one file per method, found by being in this folder.

A method file names a `Method` METHOD (`rfbench.competitors.method` says what that declares); configurations call the
method by its file's name. What several methods share lies in the package `parts`, where nothing is looked for. An
installed package brings methods of its own through the entry-point group ``rfbench.methods``: the entry point names the
method and loads a module with a METHOD. A run's code is its method's file and what that imports; editing a method
repeats its runs alone. `rfbench.competitors.methods` finds them.
"""
