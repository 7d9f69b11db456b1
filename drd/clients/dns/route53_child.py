"""The child that asks Route 53: one order as JSON in the file that is named, one line of JSON as its answer.

In a process of its own because boto3 blocks, and would keep its memory in the daemon.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client

SECONDS_BETWEEN: Final = 1
ATTEMPTS: Final = 60
_LATER: Final = frozenset({"Throttling", "ThrottlingException", "PriorRequestNotComplete", "ServiceUnavailable"})
_HINTS: Final = {
    "AccessDenied": "allow route53:ListResourceRecordSets, ChangeResourceRecordSets and GetChange",
    "InvalidChangeBatch": "somebody else has changed it meanwhile; look anew and go on: drd runbook resume RUNBOOK",
    "NoSuchHostedZone": "correct `zone:`, its id as Z0123456789ABC",
}


def main(order_file: str) -> None:
    """Do what is ordered, and say what came of it."""
    order = json.loads(Path(order_file).read_bytes())
    try:
        said = {"found": _do(_client(order), order)}
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        family = "transient" if code in _LATER or status >= 500 else "refused"
        said = {family: f"it says {code}", "hint": _HINTS.get(code, "look at the keys and the zone")}
    except BotoCoreError as error:
        said = {"transient": type(error).__name__}
    except Refused as error:
        said = {"refused": str(error), "hint": "make it a plain record with a TTL"}
    sys.stdout.write(f"{json.dumps(said)}\n")


class Refused(Exception):
    """A record that is more than a name with values."""


def _client(order: dict[str, Any]) -> Route53Client:
    session = boto3.session.Session(
        aws_access_key_id=order["access"], aws_secret_access_key=order["secret"], region_name="us-east-1"
    )
    patience = Config(connect_timeout=5, read_timeout=15, retries={"max_attempts": 3, "mode": "standard"})
    return session.client("route53", endpoint_url=order["endpoint"] or None, config=patience)


def _do(client: Route53Client, order: dict[str, Any]) -> Any:
    name, zone = f"{order['name'].rstrip('.')}.", order["zone"]
    if order["do"] == "look":
        return _look(client, zone, name, order["kind"])
    changes = [
        {"Action": do, "ResourceRecordSet": _record_set(name, each["kind"], record)}
        for each in order["changes"]
        for do, record in (("DELETE", each["old"]), ("CREATE", each["new"]))
        if record is not None
    ]
    answer = client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})  # type: ignore[typeddict-item]
    waiter = client.get_waiter("resource_record_sets_changed")
    waiter.wait(Id=answer["ChangeInfo"]["Id"], WaiterConfig={"Delay": SECONDS_BETWEEN, "MaxAttempts": ATTEMPTS})
    return None


def _look(client: Route53Client, zone: str, name: str, kind: str) -> dict[str, Any] | None:
    answer = client.list_resource_record_sets(
        HostedZoneId=zone,
        StartRecordName=name,
        StartRecordType=kind,  # type: ignore[arg-type]
        MaxItems="1",
    )
    for found in answer["ResourceRecordSets"]:
        if found["Name"].lower() == name.lower() and found["Type"] == kind:
            if "SetIdentifier" in found or "TTL" not in found:
                raise Refused(f"{name} is an alias, or one of several records that Route 53 chooses among")
            return {"values": [each["Value"] for each in found["ResourceRecords"]], "ttl": found["TTL"]}
    return None


def _record_set(name: str, kind: str, record: dict[str, Any]) -> dict[str, Any]:
    values = [{"Value": value} for value in record["values"]]
    return {"Name": name, "Type": kind, "TTL": record["ttl"], "ResourceRecords": values}


if __name__ == "__main__":
    main(sys.argv[1])
