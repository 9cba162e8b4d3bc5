//! The pages by which the service is found and understood.

use axum::extract::State;
use axum::response::Response;
use http::header::{
    ACCEPT, CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue};

use crate::app::App;
use crate::discovery::Pages;
use crate::error::ApiError;

type Answer = Result<Response, ApiError>;

/// `GET /openapi.json`: the description of the API.
pub(crate) async fn document(State(app): State<App>, headers: HeaderMap) -> Answer {
    Ok(app.pages()?.document.respond(&headers))
}

/// `GET /.well-known/x402`: for registries of x402.
pub(crate) async fn well_known(State(app): State<App>, headers: HeaderMap) -> Answer {
    Ok(app.pages()?.well_known.respond(&headers))
}

/// `GET /skill.md`: for agents.
pub(crate) async fn skill(State(app): State<App>, headers: HeaderMap) -> Answer {
    Ok(app.pages()?.skill.respond(&headers))
}

/// `GET /llms.txt`: for language models.
pub(crate) async fn llms(State(app): State<App>, headers: HeaderMap) -> Answer {
    Ok(app.pages()?.llms.respond(&headers))
}

/// `GET /robots.txt`.
pub(crate) async fn robots(State(app): State<App>, headers: HeaderMap) -> Answer {
    Ok(app.pages()?.robots.respond(&headers))
}

/// `GET /docs`: for people.
pub(crate) async fn manual(State(app): State<App>, headers: HeaderMap) -> Answer {
    let pages = app.pages()?;
    Ok(confine(pages.manual.respond(&headers), &pages))
}

/// `GET /`: where everything is, for people who ask for HTML, and else as JSON.
pub(crate) async fn index(State(app): State<App>, headers: HeaderMap) -> Answer {
    let pages = app.pages()?;
    let mut response = if wants_html(&headers) {
        confine(pages.index.respond(&headers), &pages)
    } else {
        pages.index_json.respond(&headers)
    };
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    Ok(response)
}

/// Browsers name it; programs that take everything do not.
fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

/// A page for people can do nothing.
fn confine(mut response: Response, pages: &Pages) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, pages.policy.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
