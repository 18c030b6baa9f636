"""Room 3, the world: any server that speaks OpenAI's Chat Completions.

May import: standard library.
"""

from .llm import OpenAILLM

__all__ = ["OpenAILLM"]
