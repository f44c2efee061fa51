"""The five step types: definitions, results and failures."""

from dataclasses import dataclass

import orjson

from transfer_emulator.response_shaper import Wire
from transfer_emulator.sample_data import Resources, SeededRandom, Store, StoredFile

_FAILURES = {
    "COPY": [
        ("ALREADY_EXISTS", "A file with the same name already exists at the destination"),
        ("PERMISSION_DENIED", "Access Denied: s3:PutObject on the destination"),
        ("NOT_FOUND", "The source file does not exist"),
        ("INTERNAL_SERVER_ERROR", "An internal error occurred while copying the file"),
    ],
    "CUSTOM": [
        ("CUSTOM_STEP_FAILED", "Custom step reported FAILURE: record count does not match the trailer"),
        ("TIMEOUT", "Custom step did not report its status in time"),
        ("THROTTLED", "Rate exceeded while invoking the Lambda function"),
    ],
    "TAG": [
        ("PERMISSION_DENIED", "Access Denied: s3:PutObjectTagging"),
        ("BAD_REQUEST", "Object tags cannot be greater than 10"),
    ],
    "DELETE": [
        ("NOT_FOUND", "The file to delete does not exist"),
        ("PERMISSION_DENIED", "Access Denied: s3:DeleteObject"),
    ],
    "DECRYPT": [
        ("BAD_REQUEST", "File encrypted with an unknown key: no matching PGP private key was found"),
        ("PERMISSION_DENIED", "Access Denied: secretsmanager:GetSecretValue"),
    ],
}


@dataclass(frozen=True, slots=True)
class StepScript:
    """A step of a sample workflow. `target`: the folder, function or tag value that it uses."""

    step_type: str
    name: str
    target: str = ""

    def definition(self, resources: Resources, store: Store) -> Wire:
        """The step as returned by DescribeWorkflow."""
        details: Wire = {"Name": self.name, "SourceFileLocation": "${previous.file}"}
        match self.step_type:
            case "COPY":
                details |= {"OverwriteExisting": "FALSE"} | self._destination(resources, store)
            case "DECRYPT":
                details |= {"Type": "PGP", "OverwriteExisting": "TRUE"} | self._destination(resources, store)
            case "CUSTOM":
                details |= {"Target": resources.function_arn(self.target), "TimeoutSeconds": 300}
            case "TAG":
                details["Tags"] = [self._tag()]
            case "DELETE":
                details["SourceFileLocation"] = "${original.file}"
        return {"Type": self.step_type, f"{self.step_type.capitalize()}StepDetails": details}

    def run(self, file: StoredFile, resources: Resources, rng: SeededRandom) -> tuple[str, StoredFile]:
        """The step's outputs, and the file for the next step."""
        outputs: Wire = {}
        match self.step_type:
            case "COPY" | "DECRYPT":
                home = resources.home(file.store, archive=self.step_type == "COPY")
                folder = f"{self.target}/{file.path.split('/')[1]}"
                file = file.moved_to(home, folder, rng, decrypted=self.step_type == "DECRYPT")
                outputs = file.output()
            case "CUSTOM":
                outputs = {"status": "SUCCESS", "function": self.target, "requestId": rng.uuid()}
            case "TAG":
                outputs = {"tags": [{"key": tag["Key"], "value": tag["Value"]} for tag in [self._tag()]]}
        return orjson.dumps(outputs).decode(), file

    def fail(self, rng: SeededRandom) -> tuple[str, str]:
        """The type and message of the step's error if it fails."""
        return rng.choice(_FAILURES[self.step_type])

    def _tag(self) -> Wire:
        return {"Key": "transfer-status", "Value": self.target}

    def _destination(self, resources: Resources, store: Store) -> Wire:
        home = resources.home(store, archive=self.step_type == "COPY")
        if store == "EFS":
            location: Wire = {"EfsFileLocation": {"FileSystemId": home, "Path": f"/{self.target}/"}}
        else:
            location = {"S3FileLocation": {"Bucket": home, "Key": f"{self.target}/${{Transfer:UserName}}/"}}
        return {"DestinationFileLocation": location}
