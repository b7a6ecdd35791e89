-- The tables that elements.properties and workspaces.properties keep, for PostgreSQL. Debezium's JDBC sink makes tables
-- itself with schema.evolution=basic, but none that has a list.
CREATE EXTENSION IF NOT EXISTS hstore;

CREATE TABLE elements (
    record_key text PRIMARY KEY,
    key text NOT NULL,
    type text NOT NULL,
    class text NOT NULL,
    display_name text NOT NULL,
    organization_id text NOT NULL,
    collection text NOT NULL,
    digest text NOT NULL,
    from_key text,
    to_key text,
    account_name text,
    account__id text,
    account__name text,
    account__vendor text,
    user__id text,
    user__name text,
    user__email text[],
    user__username text[],
    user__short_login_id text[],
    user__email_domain text[],
    user__first_name text,
    user__last_name text,
    user__role text,
    user__is_admin boolean,
    user__is_active boolean,
    user__created_on timestamp,
    api_key__id text,
    api_key__name text,
    api_key__partial_key_hint text,
    api_key__status text,
    api_key__active boolean,
    api_key__created_on timestamp,
    api_key__expires_on timestamp,
    api_key__created_by text,
    api_key__creator_type text,
    api_key__principal_id text,
    api_key__principal_type text,
    api_key__scope text,
    api_key__workspace_id text,
    user_assigned_workspace__role text
);
CREATE INDEX ON elements (from_key);
CREATE INDEX ON elements (to_key);

CREATE TABLE workspaces (
    record_key text PRIMARY KEY,
    id text NOT NULL,
    name text NOT NULL,
    display_color text,
    created_on timestamp,
    archived_on timestamp,
    active boolean NOT NULL,
    workspace_geo text,
    default_inference_geo text,
    allowed_inference_geos text[],
    compartment_id text,
    external_key_id text,
    inference_data_retention text,
    user_profile_id text,
    tags hstore
);
