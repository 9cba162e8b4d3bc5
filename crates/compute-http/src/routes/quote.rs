//! What a purchase would cost: the body of the purchase, asked about instead of paid for.

mod body;

use axum::extract::State;
use axum::response::Response;
use compute_engine::{Error, QuoteTerms};
use http::StatusCode;

use self::body::{Thing, Wish};
use crate::app::App;
use crate::error::ApiError;
use crate::extract::Anybody;
use crate::render::private_json;
use crate::render::quote::{Purchase, QuoteReply};

/// `POST /compute/quote`: 200 with the price and every way to pay it, or what the purchase would be
/// refused with. Nothing is written, settled or spent, and nobody needs to be known; the end of a
/// machine's time is told to its owner alone.
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
