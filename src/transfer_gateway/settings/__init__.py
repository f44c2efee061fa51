"""Settings and the files that they name: the only readers of the environment.

Everything is checked before the service starts. All problems are reported at once, each with its location: the
variable's name, or the file's line and column.
"""

from transfer_gateway.settings.accounts_file import AccountsFile, parse_accounts
from transfer_gateway.settings.configuration_error import ConfigurationError
from transfer_gateway.settings.documents_file import document_key, load_documents
from transfer_gateway.settings.environment import MigrationSettings, Settings, exports_traces, shown_default
from transfer_gateway.settings.groups.database_url import DatabaseUrl
from transfer_gateway.settings.groups.group import ENV_PREFIX
from transfer_gateway.settings.misspelt import unknown_settings
from transfer_gateway.settings.policy_file import PolicyFile, parse_policy
from transfer_gateway.settings.secrets import environment_secrets
from transfer_gateway.settings.tls_files import DoorTls, TlsFiles
from transfer_gateway.settings.worker import Worker, environment_of, new_secret, share_of, this_worker

__all__ = [
    "ENV_PREFIX",
    "AccountsFile",
    "ConfigurationError",
    "DatabaseUrl",
    "DoorTls",
    "MigrationSettings",
    "PolicyFile",
    "Settings",
    "TlsFiles",
    "Worker",
    "document_key",
    "environment_of",
    "environment_secrets",
    "exports_traces",
    "load_documents",
    "new_secret",
    "parse_accounts",
    "parse_policy",
    "share_of",
    "shown_default",
    "this_worker",
    "unknown_settings",
]
