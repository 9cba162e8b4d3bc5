use axum::body::Bytes;
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use compute_testkit::listen::status;
use serde::Deserialize;
use serde_json::{Value, json};

use super::catalogue::Row;
use super::lists::{Filter, json_text, page};
use super::world::{Event, Refusal, World, now_ms};
use super::{Shared, actions, lock};
use crate::wire::RequestNumber;

pub(super) type Answer = Result<Response, Refusal>;
pub(super) type Number = Option<Extension<RequestNumber>>;

pub(super) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/v2/account", get(account))
        .route("/v2/customers/my/balance", get(balance))
        .route("/v2/account/keys", get(list_keys).post(add_key))
        .route("/v2/account/keys/{named}", get(read_key).delete(remove_key))
        .route("/v2/sizes", get(sizes))
        .route("/v2/regions", get(regions))
        .route("/v2/images", get(images))
        .route("/v2/images/{named}", get(image))
        .route("/v2/droplets", get(list_droplets).post(create))
        .route("/v2/droplets/{id}", get(observe).delete(destroy))
        .route(
            "/v2/droplets/{id}/actions",
            get(actions::list).post(actions::begin),
        )
        .route("/v2/actions/{id}", get(actions::read))
        .route("/v2/tags", get(list_tags))
        .route("/v2/tags/{name}", get(read_tag).delete(remove_tag))
        .fallback(async || not_found())
        .layer(from_fn_with_state(shared.clone(), require_token))
        .with_state(shared)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(code, message) = self;
        let id = match code {
            401 => "Unauthorized",
            404 => "not_found",
            422 => "unprocessable_entity",
            _ => "server_error",
        };
        (status(code), Json(json!({ "id": id, "message": message }))).into_response()
    }
}

pub(super) fn not_found() -> Refusal {
    let text = "The resource you requested could not be found.";
    Refusal(404, text.to_owned())
}

pub(super) fn number(extension: Number) -> Option<usize> {
    extension.map(|Extension(RequestNumber(number))| number)
}

async fn require_token(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let token = lock(&shared).token.clone();
    let expected = format!("Bearer {token}");
    let given = request.headers().get(AUTHORIZATION);
    let is_known = given.is_some_and(|given| given.as_bytes() == expected.as_bytes());
    if token.is_empty() || !is_known {
        return Refusal(401, "Unable to authenticate you".to_owned()).into_response();
    }
    next.run(request).await
}

async fn account(State(shared): State<Shared>) -> Answer {
    let text = include_str!("../../fixtures/digitalocean/account.json");
    let mut account: Value = serde_json::from_str(text).unwrap_or_default();
    if let Some(status) = account.pointer_mut("/account/status") {
        *status = lock(&shared).account_status.clone().into();
    }
    Ok(Json(account).into_response())
}

async fn balance() -> Response {
    json_text(include_str!("../../fixtures/digitalocean/balance.json").to_owned())
}

#[derive(Deserialize)]
struct KeyBody {
    name: String,
    public_key: String,
}

async fn add_key(State(shared): State<Shared>, request: Number, body: Bytes) -> Answer {
    let body: KeyBody = parse(&body)?;
    let mut world = lock(&shared);
    let id = world.add_key(body.name, body.public_key, number(request))?;
    let key = world.keys.iter().find(|key| key.id == id);
    let view = json!({ "ssh_key": key.map(super::keys::Key::view) });
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

async fn list_keys(State(shared): State<Shared>, Query(filter): Query<Filter>) -> Answer {
    let world = lock(&shared);
    let keys = world.keys.iter();
    let rows: Vec<String> = keys.map(|key| key.view().to_string()).collect();
    page(
        &world.link_host,
        "/v2/account/keys",
        "ssh_keys",
        &rows,
        &filter,
    )
}

async fn read_key(State(shared): State<Shared>, Path(named): Path<String>) -> Answer {
    let world = lock(&shared);
    let key = world.keys.iter().find(|key| key.is(&named));
    let key = key.ok_or_else(not_found)?;
    Ok(Json(json!({ "ssh_key": key.view() })).into_response())
}

async fn remove_key(
    State(shared): State<Shared>,
    request: Number,
    Path(named): Path<String>,
) -> Answer {
    let mut world = lock(&shared);
    let key = world.keys.iter().find(|key| key.is(&named));
    let id = key.ok_or_else(not_found)?.id;
    let request = number(request);
    world.record(Event::KeyRemoved { id, request })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn texts<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<String> {
    rows.map(|row| row.text.clone()).collect()
}

async fn sizes(State(shared): State<Shared>, Query(filter): Query<Filter>) -> Answer {
    let world = lock(&shared);
    let rows: Vec<String> = world
        .catalogue
        .sizes
        .iter()
        .map(|row| world.size_now(row))
        .collect();
    page(&world.link_host, "/v2/sizes", "sizes", &rows, &filter)
}

async fn regions(State(shared): State<Shared>, Query(filter): Query<Filter>) -> Answer {
    let world = lock(&shared);
    let rows = texts(world.catalogue.regions.iter());
    page(&world.link_host, "/v2/regions", "regions", &rows, &filter)
}

async fn images(State(shared): State<Shared>, Query(filter): Query<Filter>) -> Answer {
    let world = lock(&shared);
    let images = world.catalogue.images.iter();
    let rows = texts(images.filter(|row| row.is("public")));
    page(&world.link_host, "/v2/images", "images", &rows, &filter)
}

async fn image(State(shared): State<Shared>, Path(named): Path<String>) -> Answer {
    let world = lock(&shared);
    let wanted = named
        .parse::<u64>()
        .map_or(Value::String(named), Value::from);
    let row = world.catalogue.image(&wanted).ok_or_else(not_found)?;
    Ok(json_text(format!("{{\"image\":{}}}", row.text)))
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let failed = |_| Refusal(422, "request payload validation failed".to_owned());
    serde_json::from_slice(body).map_err(failed)
}

async fn create(State(shared): State<Shared>, request: Number, body: Bytes) -> Answer {
    let mut world = lock(&shared);
    let body: Value = parse(&body)?;
    let (id, action) = world.create(&body, number(request))?;
    let mut droplets = world.droplets.iter().chain(&world.failed);
    let droplet = droplets.find(|it| it.id == id).ok_or_else(not_found)?;
    let mut view = droplet.view(&world.catalogue, world.habits);
    if let Some(members) = view.as_object_mut() {
        // Tags come after the droplet.
        members.insert("tags".to_owned(), json!([]));
    }
    let href = format!("{}/v2/actions/{action}", world.link_host);
    let link = json!({ "id": action, "rel": "create", "href": href });
    let answer = json!({ "droplet": view, "links": { "actions": [link] } });
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

async fn list_droplets(State(shared): State<Shared>, Query(filter): Query<Filter>) -> Answer {
    let mut world = lock(&shared);
    if filter.tag_name.is_some() && (filter.name.is_some() || filter.kind.is_some()) {
        let text = "tag_name cannot be combined with name or type";
        return Err(Refusal(422, text.to_owned()));
    }
    let rows = listed(&mut world, &filter)?;
    page(&world.link_host, "/v2/droplets", "droplets", &rows, &filter)
}

fn listed(world: &mut World, filter: &Filter) -> Result<Vec<String>, Refusal> {
    let habits = world.habits;
    let wants_gpus = filter.kind.as_deref() == Some("gpus");
    let is_meant = |droplet: &super::droplet::Droplet| match &filter.tag_name {
        Some(_) => habits.tags_list_gpus || !droplet.has_gpu,
        None => {
            let name = filter.name.as_ref();
            droplet.has_gpu == wants_gpus
                && name.is_none_or(|name| droplet.body.name.eq_ignore_ascii_case(name))
        }
    };
    let first_page = filter.page.unwrap_or(1) <= 1;
    let mut shown = Vec::new();
    for droplet in &mut world.droplets {
        // Later pages are part of the same look.
        let is_there = if first_page {
            is_meant(droplet) && droplet.list(habits)
        } else {
            is_meant(droplet) && droplet.lists > habits.hidden_lists
        };
        if is_there {
            shown.push(droplet.id);
        }
    }
    world.boot()?;
    if first_page {
        for id in &shown {
            world.look_at_actions(*id)?;
        }
    }
    let World {
        droplets,
        ghosts,
        catalogue,
        ..
    } = world;
    let live = droplets.iter().filter(|it| shown.contains(&it.id));
    let gone = ghosts
        .iter_mut()
        .filter(|(droplet, left)| *left > 0 && is_meant(droplet))
        .map(|(droplet, left)| {
            *left -= 1;
            &*droplet
        });
    let tag = filter.tag_name.as_ref();
    Ok(live
        .chain(gone)
        .filter(|it| tag.is_none_or(|tag| it.has_tag(tag, habits)))
        .map(|it| it.view(catalogue, habits).to_string())
        .collect())
}

async fn observe(State(shared): State<Shared>, Path(id): Path<u64>) -> Answer {
    let mut world = lock(&shared);
    let habits = world.habits;
    let droplet = world.droplets.iter_mut().find(|it| it.id == id);
    let is_shown = droplet.is_some_and(|droplet| droplet.look(habits));
    world.boot()?;
    world.look_at_actions(id)?;
    let droplet = world.droplets.iter().find(|it| it.id == id);
    let droplet = droplet.filter(|_| is_shown).ok_or_else(not_found)?;
    Ok(Json(json!({ "droplet": droplet.view(&world.catalogue, habits) })).into_response())
}

async fn destroy(State(shared): State<Shared>, request: Number, Path(id): Path<u64>) -> Answer {
    let mut world = lock(&shared);
    let droplet = world.droplets.iter().find(|it| it.id == id);
    let droplet = droplet.ok_or_else(not_found)?;
    if (droplet.status().0 == "new" || droplet.is_busy) && world.habits.refuses_early_delete {
        let text = "Droplet already has a pending event.";
        return Err(Refusal(422, text.to_owned()));
    }
    world.record(Event::Deleted {
        id,
        at_ms: now_ms(),
        request: number(request),
    })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn tag_view(world: &World, name: &str) -> Value {
    let carries = |tags: &[String]| tags.iter().any(|tag| tag == name);
    let droplets = world.droplets.iter();
    let count = droplets.filter(|it| carries(&it.body.tags)).count();
    json!({ "name": name, "resources": { "count": count, "droplets": { "count": count } } })
}

async fn list_tags(State(shared): State<Shared>, Query(filter): Query<Filter>) -> Answer {
    let world = lock(&shared);
    let tags = world.tags.iter();
    let rows: Vec<String> = tags.map(|tag| tag_view(&world, tag).to_string()).collect();
    page(&world.link_host, "/v2/tags", "tags", &rows, &filter)
}

async fn read_tag(State(shared): State<Shared>, Path(name): Path<String>) -> Answer {
    let world = lock(&shared);
    let name = world.tags.get(&name).ok_or_else(not_found)?;
    Ok(Json(json!({ "tag": tag_view(&world, name) })).into_response())
}

async fn remove_tag(
    State(shared): State<Shared>,
    request: Number,
    Path(name): Path<String>,
) -> Answer {
    let mut world = lock(&shared);
    if !world.tags.contains(&name) {
        return Err(not_found());
    }
    let request = number(request);
    world.record(Event::TagRemoved { name, request })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
