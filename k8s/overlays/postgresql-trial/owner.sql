-- Run once by the image, as the administrator, when the volume is empty. An owner may create the extension pg_trgm.
\set password `cat /etc/postgresql/password/password`
CREATE ROLE transfer_gateway LOGIN PASSWORD :'password';
CREATE DATABASE transfer_gateway OWNER transfer_gateway;
