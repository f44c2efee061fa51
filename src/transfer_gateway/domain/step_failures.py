"""What a failed step's type of error usually means, and what to check: by AWS's types of the error and of the step.

Source: DescribeExecution's description of the types, and the user guide of AWS Transfer Family: managed workflows,
their limits, IAM policies for workflows, PGP keys.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explanation:
    """`meaning`: in a sentence or two. `check`: what to look at, the likeliest first."""

    meaning: str
    check: tuple[str, ...]


_ROLE = "the policies of the workflow's execution role, and whether Transfer Family may assume it"
_BUCKET_POLICY = "bucket policies that deny the role, above all of another account's bucket"
_KEYS = "the KMS keys of both: kms:Decrypt of the source's, kms:GenerateDataKey of the destination's"
_MOVED = "what else moves or deletes files there: another step, a lifecycle rule, the reader of the folder"
_CHANGED = (
    "a custom step before it: if its function wrote the file anew, the version and ETag that the next step expects "
    "are gone; have it write another key"
)
_PGP_KEY = (
    "the secret aws/transfer/SERVER/USER, or aws/transfer/SERVER/@pgp-default, and its at most three keys"
)
_FUNCTION_LOG = "the function's own log, at the time of the step"

EXPLANATIONS: dict[tuple[str, str | None], Explanation] = {
    ("PERMISSION_DENIED", None): Explanation(
        "The workflow's execution role lacks a permission that the step needs.", (_ROLE, _BUCKET_POLICY)
    ),
    ("PERMISSION_DENIED", "COPY"): Explanation(
        "The workflow's execution role may not read the source or write the destination.",
        (
            "s3:GetObject and s3:GetObjectTagging of the source",
            "s3:PutObject and s3:PutObjectTagging of the destination",
            "s3:ListBucket of the destination, which is needed unless the step overwrites existing files",
            _BUCKET_POLICY,
            _KEYS,
        ),
    ),
    ("PERMISSION_DENIED", "CUSTOM"): Explanation(
        "The workflow's execution role may not invoke the Lambda function.",
        (
            "lambda:InvokeFunction of this function, and of the version or alias that the step names",
            "whether the function is in the same account and region: others are not possible",
            _ROLE,
        ),
    ),
    ("PERMISSION_DENIED", "TAG"): Explanation(
        "The workflow's execution role may not tag the object.",
        ("s3:PutObjectTagging, and s3:PutObjectVersionTagging in a bucket with versions", _BUCKET_POLICY),
    ),
    ("PERMISSION_DENIED", "DELETE"): Explanation(
        "The workflow's execution role may not delete the file.",
        ("s3:DeleteObject, and s3:DeleteObjectVersion in a bucket with versions", _BUCKET_POLICY),
    ),
    ("PERMISSION_DENIED", "DECRYPT"): Explanation(
        "The workflow's execution role may not read the file or its PGP key, or not write the decrypted file.",
        (
            "secretsmanager:GetSecretValue of the secret with the PGP key, and kms:Decrypt of that secret's key",
            "s3:GetObject of the source and s3:PutObject of the destination",
            _BUCKET_POLICY,
            _KEYS,
        ),
    ),
    ("CUSTOM_STEP_FAILED", None): Explanation(
        "The Lambda function reported a failure of its own, or crashed.",
        (_FUNCTION_LOG, "what the function expects of the file: sender, format, size"),
    ),
    ("THROTTLED", None): Explanation(
        "AWS limited the calls that the step makes. The file itself is usually sound.",
        ("how many files came at once: the step may succeed if the file is sent again, more slowly",),
    ),
    ("THROTTLED", "CUSTOM"): Explanation(
        "Lambda had no capacity for the function at that moment. The file itself is usually sound.",
        (
            "the function's reserved concurrency, and the account's",
            "how many files came at once: the step may succeed if the file is sent again, more slowly",
        ),
    ),
    ("ALREADY_EXISTS", None): Explanation(
        "A file of that name is at the destination, and the step does not overwrite existing files.",
        (
            "whether the file was sent twice: the earlier one may have got through",
            "the step's setting to overwrite existing files, or a destination with the user or a date in it",
        ),
    ),
    ("NOT_FOUND", None): Explanation(
        "Something that the step needs is not there: usually the file was moved or deleted while the workflow ran.",
        (_MOVED, _CHANGED, "the bucket or file system that the step names"),
    ),
    ("NOT_FOUND", "DELETE"): Explanation(
        "The file was gone already. If a step had copied it before, it did get through.",
        (_MOVED, "a step that deletes the same file earlier in the workflow"),
    ),
    ("NOT_FOUND", "CUSTOM"): Explanation(
        "The Lambda function, or the version or alias that the step names, does not exist.",
        (
            "the function's ARN in the workflow's definition: a workflow can't be changed, so it needs a new one",
            "whether the function is in the same account and region: others are not possible",
        ),
    ),
    ("NOT_FOUND", "DECRYPT"): Explanation(
        "The file, or the secret with its PGP key, is not there.", (_PGP_KEY, _MOVED)
    ),
    ("BAD_REQUEST", None): Explanation(
        "AWS refuses the step for this file or with these settings.",
        ("AWS's message above all", _CHANGED, "the step's settings in the workflow's definition"),
    ),
    ("BAD_REQUEST", "COPY"): Explanation(
        "The file can't be copied there.",
        (
            "whether source and destination are both on S3 in one region, or both on EFS: nothing else is possible",
            _CHANGED,
            "the size of the file",
        ),
    ),
    ("BAD_REQUEST", "TAG"): Explanation(
        "The file can't be tagged.",
        (
            "whether it is on EFS: only objects on S3 can be tagged",
            "how many tags it would have: at most ten",
            _CHANGED,
        ),
    ),
    ("BAD_REQUEST", "DECRYPT"): Explanation(
        "The file is not encrypted for our PGP key, is damaged, or is not encrypted at all.",
        (
            "which public key the sender used, and whether it belongs to ours",
            _PGP_KEY,
            "whether the sender signs the file, too: signed messages are not supported",
            "the algorithms that the sender's software uses, and its --openpgp setting",
        ),
    ),
    ("TIMEOUT", None): Explanation(
        "The step took longer than AWS lets it.",
        ("the size of the file, and how long its kind usually takes",),
    ),
    ("TIMEOUT", "CUSTOM"): Explanation(
        "The Lambda function did not report back in time.",
        (
            "that it calls SendWorkflowStepState in each case, also when it fails, with the token of its event",
            _FUNCTION_LOG,
            "the step's timeout (at most 30 minutes), and the function's own (at most 15)",
        ),
    ),
    ("INTERNAL_SERVER_ERROR", None): Explanation(
        "AWS itself failed. Sending the file again usually helps.",
        (
            "the AWS Health Dashboard of the region",
            "AWS Support, with the execution's id, if it happens again",
        ),
    ),
}
_UNKNOWN = Explanation("The gateway does not know this type of error.", ("AWS's message",))


def explain(error: str, step: str | None) -> Explanation:
    """By AWS's types of both, else by that of the error alone."""
    return EXPLANATIONS.get((error, step)) or EXPLANATIONS.get((error, None)) or _UNKNOWN
