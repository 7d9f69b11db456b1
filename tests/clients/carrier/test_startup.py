import subprocess
import sys

HEAVY = ("boto3", "botocore", "pydantic", "asyncio", "http.client", "subprocess")


def test_the_child_imports_no_more_than_a_local_round_needs() -> None:
    program = (
        "import sys; import drd.clients.carrier.__main__; import drd.clients.carrier.local; "
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []
