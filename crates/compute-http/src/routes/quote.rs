//! What a purchase would cost: the body of the purchase, asked about instead of paid for.

mod body;

use axum::extract::State;
use axum::response::Response;
use compute_engine::{Error, QuoteTerms};
use http::StatusCode;

use self::body::{QuoteRequest, Thing, Wish};
use crate::app::App;
use crate::discovery::answers::Quoted;
use crate::error::ApiError;
use crate::extract::Anybody;
use crate::render::private_json;
use crate::render::quote::{Purchase, QuoteReply};

/// What a purchase would cost, and every way to pay it.
///
/// Send the body of the purchase, for more time with `instance_id`: 200 with the price, or what the
/// purchase would be refused with. Nothing is written, settled or spent, and nobody needs to be known;
/// the end of a machine's time is told to its owner alone. A change of plan has `dry_run` instead.
#[utoipa::path(
    post,
    path = "/compute/quote",
    operation_id = "quote",
    tag = "Buying",
    security((), ("apiKey" = []), ("walletSignature" = [])),
    request_body(content = QuoteRequest, description = "What is wanted."),
    responses((status = 200, description = "The price, which a payment may use until `valid_until`.", body = QuoteReply<'_>), Quoted),
)]
pub(crate) async fn quote(
    State(app): State<App>,
    Anybody(call): Anybody<Wish>,
) -> Result<Response, ApiError> {
    let engine = app.engine();
    let Wish { thing, paying } = &call.body;
    let terms = |resource_url| QuoteTerms {
        use_credits: paying.use_credits,
        max_total: paying.max_total,
        resource_url,
    };
    let (quote, purchase) = match thing {
        Thing::Machine(request) => {
            let url = app.provision_url();
            let quote = engine.quote_machine(&call.caller, request, terms(&url));
            (quote.await?, Purchase::provision(url))
        }
        Thing::Time(id, request) => {
            let id = id.parse().map_err(|_| Error::NotFound)?;
            let url = app.extend_url(id);
            let quote = engine.quote_time(&call.caller, id, request, terms(&url));
            (quote.await?, Purchase::extend(url, id))
        }
    };
    let reply = QuoteReply::new(&quote, &purchase, &app)?;
    private_json(StatusCode::OK, &reply)
}
