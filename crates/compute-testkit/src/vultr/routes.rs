use axum::body::Bytes;
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::machine::{CreateBody, Stage};
use super::world::{Event, Refusal, World, now_ms, random_uuid};
use super::{Fault, Shared, changes, control, lock};
use crate::listen::{RequestNumber, bad_gateway, hang_up, status};

pub(super) fn router(shared: Shared) -> Router {
    let keyed = Router::new()
        .route("/v2/account", get(account))
        .route("/v2/ssh-keys", get(list_keys).post(add_key))
        .route("/v2/ssh-keys/{id}", delete(remove_key))
        .route("/v2/instances", get(list_machines).post(create))
        .route(
            "/v2/instances/{id}",
            get(observe).delete(destroy).patch(changes::change_plan),
        )
        .route("/v2/instances/{id}/upgrades", get(changes::upgrades))
        .route("/v2/instances/{id}/reinstall", post(changes::reinstall))
        .route("/v2/instances/{id}/{action}", post(changes::power))
        .route("/v2/instances/jobs/{id}", get(changes::job))
        .layer(from_fn_with_state(shared.clone(), require_key));
    let open = Router::new()
        .route("/v2/plans", get(plans))
        .route("/v2/regions", get(regions))
        .route("/v2/regions/{id}/availability", get(availability))
        .route("/v2/os", get(images));
    let control = Router::new()
        .route(
            "/control/faults",
            get(control::report)
                .post(control::add)
                .delete(control::clear),
        )
        .route("/control/journal", get(control::journal));
    keyed
        .merge(open)
        .layer(from_fn_with_state(shared.clone(), disturb))
        .merge(control)
        .with_state(shared)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(code, error) = self;
        (status(code), Json(json!({"error": error, "status": code}))).into_response()
    }
}

pub(super) type Answer = Result<Response, Refusal>;

async fn disturb(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let fault = {
        let mut world = lock(&shared);
        let call = (
            request.method().to_string(),
            request.uri().path().to_owned(),
        );
        world.calls.push(call);
        let is_general =
            |fault: &Fault| matches!(fault, Fault::Throttle { .. } | Fault::Html502 | Fault::Hang);
        world.faults.take(is_general)
    };
    match fault {
        Some(Fault::Throttle { retry_after }) => {
            let body = Json(json!({"status": 429, "error": "rate limit exceeded"}));
            let headers = [("retry-after", retry_after.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, headers, body).into_response()
        }
        Some(Fault::Hang) => std::future::pending().await,
        Some(_) => bad_gateway(),
        None => next.run(request).await,
    }
}

fn has_key(world: &World, headers: &HeaderMap) -> bool {
    let expected = format!("Bearer {}", world.api_key);
    !world.faults.any(|fault| *fault == Fault::RevokeKey)
        && headers
            .get(AUTHORIZATION)
            .is_some_and(|value| value.as_bytes() == expected.as_bytes())
}

async fn require_key(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    if !has_key(&lock(&shared), request.headers()) {
        return Refusal(401, "Invalid API token.".to_owned()).into_response();
    }
    next.run(request).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Filter {
    per_page: Option<usize>,
    cursor: Option<String>,
    tag: Option<String>,
    label: Option<String>,
}

/// One page of rows under the vendor's member name, with opaque cursors.
fn page(member: &str, rows: &[String], filter: &Filter) -> Answer {
    let size = filter.per_page.unwrap_or(100).clamp(1, 500);
    let start = match filter.cursor.as_deref() {
        None | Some("") => 0,
        Some(cursor) => read_cursor(cursor)
            .filter(|start| *start < rows.len())
            .ok_or_else(|| Refusal(400, "Invalid cursor.".to_owned()))?,
    };
    let end = start.saturating_add(size).min(rows.len());
    let next = if end < rows.len() {
        write_cursor(end)
    } else {
        String::new()
    };
    let prev = if start > 0 {
        write_cursor(start.saturating_sub(size))
    } else {
        String::new()
    };
    let meta = json!({"total": rows.len(), "links": {"next": next, "prev": prev}});
    let shown = rows.get(start..end).unwrap_or_default().join(",");
    Ok(json_text(format!(
        "{{\"{member}\":[{shown}],\"meta\":{meta}}}"
    )))
}

// The padding of these cursors makes a client that does not encode them fail.
fn write_cursor(start: usize) -> String {
    STANDARD.encode(format!("next__{start}+"))
}

fn read_cursor(cursor: &str) -> Option<usize> {
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    text.strip_prefix("next__")?.strip_suffix('+')?.parse().ok()
}

fn json_text(text: String) -> Response {
    ([("content-type", "application/json")], text).into_response()
}

async fn plans(State(shared): State<Shared>, Query(filter): Query<Filter>) -> Answer {
    let world = lock(&shared);
    let rows: Vec<String> = world
        .catalogue
        .plans
        .iter()
        .map(|plan| plan.text.clone())
        .collect();
    page("plans", &rows, &filter)
}

async fn regions(State(shared): State<Shared>, Query(filter): Query<Filter>) -> Answer {
    let world = lock(&shared);
    let rows: Vec<String> = world
        .catalogue
        .regions
        .iter()
        .map(|row| row.text.clone())
        .collect();
    page("regions", &rows, &filter)
}

async fn images(State(shared): State<Shared>, Query(filter): Query<Filter>) -> Answer {
    let world = lock(&shared);
    let rows: Vec<String> = world
        .catalogue
        .images
        .iter()
        .map(|row| row.text.clone())
        .collect();
    page("os", &rows, &filter)
}

async fn availability(
    State(shared): State<Shared>,
    Path(region): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let world = lock(&shared);
    let Some(mut plans) = world.catalogue.available_in(&region) else {
        return Err(Refusal(400, "Invalid region.".to_owned()));
    };
    // Without a key the vendor answers 200 with nothing, as if all were sold out.
    if !has_key(&world, &headers) {
        plans.clear();
    }
    plans.retain(|plan| !world.is_out_of_stock(plan, &region));
    let body = json!({"available_plans": plans, "available_vpc_only_plans": []});
    Ok(Json(body).into_response())
}

async fn account(State(shared): State<Shared>) -> Response {
    json_text(lock(&shared).account.clone())
}

#[derive(Deserialize)]
struct KeyBody {
    name: String,
    ssh_key: String,
}

fn key_view((id, name, ssh_key): &(String, String, String)) -> Value {
    let date = "2026-10-10T01:55:00+00:00";
    json!({"id": id, "date_created": date, "name": name, "ssh_key": ssh_key})
}

async fn add_key(State(shared): State<Shared>, body: Bytes) -> Answer {
    let body: KeyBody = parse(&body)?;
    if !body.ssh_key.starts_with("ssh-") && !body.ssh_key.starts_with("ecdsa-") {
        return Err(Refusal(400, "Invalid SSH key.".to_owned()));
    }
    let mut world = lock(&shared);
    let name: String = body.name.chars().take(128).collect();
    let id = random_uuid()?;
    world.record(Event::KeyAdded {
        id,
        name,
        ssh_key: body.ssh_key,
    })?;
    if world
        .faults
        .take(|fault| *fault == Fault::KeyThenDrop)
        .is_some()
    {
        return Ok(hang_up());
    }
    let view = world.keys.last().map(key_view);
    Ok((StatusCode::CREATED, Json(json!({"ssh_key": view}))).into_response())
}

async fn list_keys(State(shared): State<Shared>, Query(filter): Query<Filter>) -> Answer {
    let world = lock(&shared);
    let rows: Vec<String> = world
        .keys
        .iter()
        .map(|key| key_view(key).to_string())
        .collect();
    page("ssh_keys", &rows, &filter)
}

async fn remove_key(State(shared): State<Shared>, Path(id): Path<String>) -> Answer {
    let mut world = lock(&shared);
    if !world.keys.iter().any(|(own, ..)| *own == id) {
        return Err(Refusal(404, "Invalid SSH key ID.".to_owned()));
    }
    world.record(Event::KeyRemoved { id })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal(400, format!("Invalid JSON: {error}")))
}

pub(super) type Number = Option<Extension<RequestNumber>>;

pub(super) fn number(extension: Number) -> Option<usize> {
    extension.map(|Extension(RequestNumber(number))| number)
}

async fn create(State(shared): State<Shared>, request: Number, body: Bytes) -> Answer {
    let before = lock(&shared).faults.take(|fault| {
        matches!(
            fault,
            Fault::RefuseCreate { .. } | Fault::DropBeforeCreate | Fault::HangBeforeCreate
        )
    });
    match before {
        Some(Fault::RefuseCreate { status, error }) => return Err(Refusal(status, error)),
        Some(Fault::HangBeforeCreate) => std::future::pending().await,
        Some(_) => return Ok(hang_up()),
        None => {}
    }
    let after = {
        let mut world = lock(&shared);
        let (id, password) = world.create(parse::<CreateBody>(&body)?, number(request))?;
        let after = world.faults.take(|fault| {
            matches!(
                fault,
                Fault::CreateThenDrop
                    | Fault::CreateThenHang
                    | Fault::CreateThenStatus { .. }
                    | Fault::CreateThenHtml
            )
        });
        let Some(after) = after else {
            let index = world.index_of(&id).unwrap_or(usize::MAX);
            let mut view = world.view(index, Stage::Pending).unwrap_or_default();
            if let Some(members) = view.as_object_mut() {
                members.insert("default_password".to_owned(), Value::String(password));
            }
            let body = Json(json!({"instance": view}));
            return Ok((StatusCode::ACCEPTED, body).into_response());
        };
        after
    };
    match after {
        Fault::CreateThenDrop => Ok(hang_up()),
        Fault::CreateThenHang => std::future::pending().await,
        Fault::CreateThenStatus { status } => Err(Refusal(status, "Internal error.".to_owned())),
        _ => Ok(bad_gateway()),
    }
}

async fn list_machines(State(shared): State<Shared>, Query(filter): Query<Filter>) -> Answer {
    let mut world = lock(&shared);
    if world
        .faults
        .take(|fault| *fault == Fault::EmptyList)
        .is_some()
    {
        return page("instances", &[], &filter);
    }
    let is_later_page = filter
        .cursor
        .as_deref()
        .is_some_and(|cursor| !cursor.is_empty());
    if is_later_page
        && world
            .faults
            .take(|fault| *fault == Fault::BreakSecondPage)
            .is_some()
    {
        return Err(Refusal(500, "Internal error.".to_owned()));
    }
    let wanted: Vec<usize> = world
        .machines
        .iter()
        .enumerate()
        .filter(|(_, machine)| filter.tag.as_ref().is_none_or(|tag| machine.has_tag(tag)))
        .filter(|(_, machine)| {
            filter
                .label
                .as_ref()
                .is_none_or(|l| machine.body.label == *l)
        })
        .map(|(index, _)| index)
        .collect();
    let mut rows = Vec::new();
    for index in wanted {
        rows.extend(world.observe(index)?.map(|view| view.to_string()));
    }
    page("instances", &rows, &filter)
}

pub(super) fn not_found() -> Refusal {
    Refusal(404, "instance not found".to_owned())
}

async fn observe(State(shared): State<Shared>, Path(id): Path<String>) -> Answer {
    let mut world = lock(&shared);
    let forced = world
        .faults
        .take(|fault| matches!(fault, Fault::SetState { machine, .. } if *machine == id));
    if let Some(Fault::SetState { states, .. }) = forced {
        world.force(&id, states);
    }
    let index = world.index_of(&id).ok_or_else(not_found)?;
    let view = world.observe(index)?.ok_or_else(not_found)?;
    Ok(Json(json!({"instance": view})).into_response())
}

async fn destroy(State(shared): State<Shared>, request: Number, Path(id): Path<String>) -> Answer {
    let mut world = lock(&shared);
    let fault = world.faults.take(|fault| {
        matches!(
            fault,
            Fault::RefuseDelete { .. } | Fault::IgnoreDelete | Fault::DeleteThenDrop
        )
    });
    if let Some(Fault::RefuseDelete { status }) = fault {
        return Err(Refusal(status, "Unable to destroy server.".to_owned()));
    }
    world.index_of(&id).ok_or_else(not_found)?;
    if fault != Some(Fault::IgnoreDelete) {
        world.record(Event::Deleted {
            id,
            at_ms: now_ms(),
            request: number(request),
        })?;
    }
    if fault == Some(Fault::DeleteThenDrop) {
        return Ok(hang_up());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
