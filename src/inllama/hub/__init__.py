"""Models of the Hugging Face Hub: references, downloads, and the caches on this machine.

Looking into caches needs nothing else; downloading needs the extra ``hub``, and is huggingface_hub's.
"""
