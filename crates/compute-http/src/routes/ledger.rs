//! The caller's history of money.

use axum::extract::State;
use axum::response::Response;
use compute_domain::id::TransferId;
use compute_engine::History;
use http::header::{CONTENT_DISPOSITION, LINK};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::compress::compressible;
use crate::discovery::answers::Known;
use crate::error::ApiError;
use crate::extract::{Authenticated, Format, HistoryPart, NoBody};
use crate::render::csv::{TEXT_CSV, Table};
use crate::render::movement::{COLUMNS, MovementItem};
use crate::render::{private, private_json};

#[derive(Serialize, ToSchema)]
struct LedgerReply<'a> {
    movements: Vec<MovementItem<'a>>,
    /// Where the next page begins, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    next_cursor: Option<TransferId>,
}

/// The caller's history of money, newest first.
///
/// With `format=csv`, or for a client that prefers it, as a table. The next page is in `Link` as well,
/// because a table has no place for it.
#[utoipa::path(
    get,
    path = "/compute/ledger",
    operation_id = "getLedger",
    tag = "Credits",
    security(("apiKey" = []), ("walletSignature" = [])),
    params(
        ("cursor" = Option<String>, Query, format = "uuid", description = "The `next_cursor` of the page before."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Movements in a page; 200 when absent."),
        ("format" = Option<String>, Query, pattern = "^(json|csv)$", description = "How it is written."),
    ),
    responses(
        (status = 200, description = "A page.",
            content((LedgerReply<'_> = "application/json"), (String = "text/csv")),
            headers(("Link" = String, description = "The next page, when there is one.")),
            links(
                ("next" = (operation_id = "getLedger", parameters(("cursor" = "$response.body#/next_cursor")))),
            )
        ),
        Known,
    ),
)]
pub(crate) async fn list(
    State(app): State<App>,
    HistoryPart { page, format }: HistoryPart,
    Authenticated(call): Authenticated<NoBody>,
) -> Result<Response, ApiError> {
    let history = app.engine().history(&call.caller, page).await?;
    let items: Vec<_> = history.movements.iter().map(MovementItem::new).collect();
    let mut response = match format {
        Format::Json => private_json(
            StatusCode::OK,
            &LedgerReply {
                movements: items,
                next_cursor: history.next,
            },
        )?,
        Format::Csv => table(&items),
    };
    if let Some(link) = next_page(&history, page.limit, format, &app) {
        response.headers_mut().insert(LINK, link);
    }
    Ok(compressible(response))
}

fn table(items: &[MovementItem<'_>]) -> Response {
    let mut table = Table::new(&COLUMNS);
    for item in items {
        table.row(item.cells());
    }
    let mut response = private(StatusCode::OK, TEXT_CSV, table.finish());
    response.headers_mut().insert(
        CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"ledger.csv\""),
    );
    response
}

fn next_page(history: &History, limit: u32, format: Format, app: &App) -> Option<HeaderValue> {
    let next = history.next?;
    let format = match format {
        Format::Json => "json",
        Format::Csv => "csv",
    };
    let url = app.ledger_url();
    let link = format!("<{url}?cursor={next}&limit={limit}&format={format}>; rel=\"next\"");
    HeaderValue::try_from(link).ok()
}
