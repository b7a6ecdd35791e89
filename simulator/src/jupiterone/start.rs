//! What a start request must say.

use serde_json::Value;
use uuid::Uuid;

use super::job::{Job, Owner};
use super::refusal::Refusal;
use super::settings::Settings;
use super::sync_mode::SyncMode;

/// The job that a start request asks for.
pub(crate) fn job(body: &Value, settings: &Settings, now: u64) -> Result<Job, Refusal> {
    if !body.is_object() {
        return Err(Refusal::bad("INVALID_REQUEST", "The body must be an object."));
    }
    let mode = sync_mode(text(body, "syncMode")?, settings)?;
    let source = text(body, "source")?;
    let (owner, id) = match source {
        Some("api") => (api(body)?, None),
        Some(source @ ("integration-external" | "integration-managed")) => {
            (instance(source, body, settings)?, text(body, "integrationJobId")?)
        }
        _ => {
            let message = "source must be api, integration-external or integration-managed.";
            return Err(Refusal::bad("INVALID_SOURCE", message));
        }
    };
    let id = match id {
        Some(id) if Uuid::parse_str(id).is_err() => {
            return Err(Refusal::bad("INVALID_REQUEST", "integrationJobId must be a UUID."));
        }
        Some(id) => id.to_owned(),
        None => Uuid::new_v4().to_string(),
    };
    if settings.key_bound_to_instance.as_ref().is_some_and(|instance| *instance != owner.scope) {
        return Err(Refusal::forbidden());
    }
    let mut job = Job::new(id, owner, mode, now);
    job.ignore_duplicates = body["ignoreDuplicates"] == true;
    Ok(job)
}

fn text<'a>(body: &'a Value, name: &str) -> Result<Option<&'a str>, Refusal> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::bad("INVALID_REQUEST", format!("{name} must be a string."))),
    }
}

fn sync_mode(mode: Option<&str>, settings: &Settings) -> Result<SyncMode, Refusal> {
    match mode {
        None | Some("DIFF") => Ok(SyncMode::Diff),
        Some("PATCH") => Ok(SyncMode::Patch),
        Some("CROSS_SCOPE") => Ok(SyncMode::CrossScope),
        Some("OVERRIDE") => Ok(SyncMode::Override),
        Some("CREATE_OR_UPDATE") if settings.legacy_create_or_update => Ok(SyncMode::CreateOrUpdate),
        Some("CREATE_OR_UPDATE") => {
            Err(Refusal::bad("INVALID_SYNC_MODE", "CREATE_OR_UPDATE is deprecated and no longer functions."))
        }
        Some(_) => {
            Err(Refusal::bad("INVALID_SYNC_MODE", "syncMode must be DIFF, PATCH, CROSS_SCOPE or OVERRIDE."))
        }
    }
}

fn api(body: &Value) -> Result<Owner, Refusal> {
    for name in ["integrationInstanceId", "integrationJobId"] {
        if text(body, name)?.is_some() {
            return Err(Refusal::bad("INVALID_REQUEST", format!("{name} needs an integration's source.")));
        }
    }
    match text(body, "scope")? {
        Some(scope) if !scope.is_empty() => Ok(Owner { source: "api".into(), scope: scope.into() }),
        _ => Err(Refusal::bad("SCOPE_REQUIRED", "source api needs a scope.")),
    }
}

fn instance(source: &str, body: &Value, settings: &Settings) -> Result<Owner, Refusal> {
    if text(body, "scope")?.is_some() {
        return Err(Refusal::bad("INVALID_REQUEST", "scope is only allowed with source api."));
    }
    let Some(instance) = text(body, "integrationInstanceId")? else {
        return Err(Refusal::bad("INVALID_REQUEST", format!("{source} needs an integrationInstanceId.")));
    };
    let exists = match &settings.integration_instances {
        Some(known) => known.contains(instance),
        None => Uuid::parse_str(instance).is_ok(),
    };
    if !exists {
        return Err(Refusal::bad("SYNC_JOB_INVALID_INTEGRATION_INSTANCE", "Integration instance not found"));
    }
    Ok(Owner { source: source.into(), scope: instance.into() })
}
