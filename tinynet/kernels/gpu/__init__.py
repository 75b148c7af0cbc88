"""CUDA kernels for what array code would take many launches for; a file per family.

The one idea: a kernel is one text of CUDA C, in which ``real`` is the arrays' dtype, and a Python function of a few lines
that takes the same arguments as the array code it stands for. That array code stays the reference, and runs wherever a
kernel does not fit. Without a GPU the tests compile the same text as C and compare the two; where NVRTC is installed, that
has to accept it too.

None of these kernels has run on a GPU yet: no machine that they were written on had one. What is shown is that they compute
what they should, thread by thread; that they are fast is not.
"""
