"""The unmodified Python openai client.

Environment: BASE_URL of a server that test/e2e/llm.test.ts starts.
"""

import os
import unittest

import openai


class OpenAi(unittest.TestCase):
    def setUp(self):
        self.client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key="none", max_retries=0)

    def test_chat_and_stream(self):
        request = {
            "model": "llm",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}],
            "max_tokens": 8,
            "temperature": 0,
        }
        whole = self.client.chat.completions.create(**request)
        self.assertTrue(whole.choices[0].message.content.startswith("Hello"))
        pieces = [event.choices[0].delta.content or "" for event in self.client.chat.completions.create(**request, stream=True)]
        self.assertGreater(len(pieces), 4)
        self.assertEqual("".join(pieces), whole.choices[0].message.content)

    def test_embeddings(self):
        answer = self.client.embeddings.create(model="embedder", input="abcd")
        self.assertEqual(answer.data[0].embedding, [4.0, 0.5])

    def test_errors(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "x"}])
        self.assertEqual(caught.exception.code, "model_not_found")
        with self.assertRaises(openai.BadRequestError):
            self.client.completions.create(model="llm", prompt="word " * 2000)


if __name__ == "__main__":
    unittest.main()
