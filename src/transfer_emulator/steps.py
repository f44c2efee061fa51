"""The five step types: how a workflow defines them, what they report, how they fail."""

from dataclasses import dataclass

import orjson

from transfer_emulator.sample_names import Dice, Estate, Store, StoredFile
from transfer_emulator.writing import Wire

_FAILURES = {
    "COPY": [
        ("ALREADY_EXISTS", "A file with the same name already exists at the destination"),
        ("PERMISSION_DENIED", "Access Denied: s3:PutObject on the destination"),
        ("NOT_FOUND", "The source file does not exist"),
        ("INTERNAL_SERVER_ERROR", "An internal error occurred while copying the file"),
    ],
    "CUSTOM": [
        ("CUSTOM_STEP_FAILED", "Custom step reported FAILURE: record count does not match the trailer"),
        ("TIMEOUT", "Custom step did not report its status within 300 seconds"),
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
    """One step of a workflow. `target` is the folder, the function or the tag's value that it works with."""

    step_type: str
    name: str
    target: str = ""

    def definition(self, estate: Estate, store: Store) -> Wire:
        """As DescribeWorkflow shows it."""
        details: Wire = {"Name": self.name, "SourceFileLocation": "${previous.file}"}
        match self.step_type:
            case "COPY":
                details |= {"OverwriteExisting": "FALSE"} | self._destination(estate, store)
            case "DECRYPT":
                details |= {"Type": "PGP", "OverwriteExisting": "TRUE"} | self._destination(estate, store)
            case "CUSTOM":
                details |= {"Target": estate.function_arn(self.target), "TimeoutSeconds": 300}
            case "TAG":
                details["Tags"] = [self._tag()]
            case "DELETE":
                details["SourceFileLocation"] = "${original.file}"
        return {"Type": self.step_type, f"{self.step_type.capitalize()}StepDetails": details}

    def run(self, file: StoredFile, estate: Estate, dice: Dice) -> tuple[Wire, StoredFile]:
        """The step's entry in the results once it is done, and the file that it hands on."""
        outputs: Wire = {}
        match self.step_type:
            case "COPY" | "DECRYPT":
                home = estate.home(file.store, archive=self.step_type == "COPY")
                folder = f"{self.target}/{file.path.split('/')[1]}"
                file = file.moved(home, folder, dice, decrypted=self.step_type == "DECRYPT")
                outputs = file.output()
            case "CUSTOM":
                outputs = {"status": "SUCCESS", "function": self.target, "requestId": dice.uuid()}
            case "TAG":
                outputs = {"tags": [{"key": tag["Key"], "value": tag["Value"]} for tag in [self._tag()]]}
        return {"StepType": self.step_type, "Outputs": orjson.dumps(outputs).decode()}, file

    def fail(self, dice: Dice) -> Wire:
        """The step's entry in the results if it fails."""
        kind, message = dice.choice(_FAILURES[self.step_type])
        return {"StepType": self.step_type, "Outputs": "{}", "Error": {"Type": kind, "Message": message}}

    def _tag(self) -> Wire:
        return {"Key": "transfer-status", "Value": self.target}

    def _destination(self, estate: Estate, store: Store) -> Wire:
        home = estate.home(store, archive=self.step_type == "COPY")
        if store == "EFS":
            place: Wire = {"EfsFileLocation": {"FileSystemId": home, "Path": f"/{self.target}/"}}
        else:
            place = {"S3FileLocation": {"Bucket": home, "Key": f"{self.target}/${{Transfer:UserName}}/"}}
        return {"DestinationFileLocation": place}
