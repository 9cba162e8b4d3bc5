//! The server as the protocol sees it.

use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};

use super::{Desk, tools, verbs};

const INSTRUCTIONS: &str = "Buys and runs cloud machines. Look at plans, then quote, then provision; call wait until \
    the machine is active. Money is real unless quote says otherwise. Give each purchase an idempotency_key of its \
    own and use the same idempotency_key when retrying. When a result is unknown, call recover before anything else \
    is bought. Limits are set by the human who runs this server; budget tells them.";

/// Answers calls.
#[derive(Debug, Clone)]
pub(super) struct Handler {
    desk: Arc<Desk>,
}

impl Handler {
    pub(super) const fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let own =
            Implementation::new("compute", env!("CARGO_PKG_VERSION")).with_title("x402Compute");
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(own)
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = tools::all(self.desk.is_read_only);
        let tools = tools.map_err(|error| ErrorData::internal_error(error, None))?;
        Ok(ListToolsResult::with_all_items(tools))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let tools = tools::all(self.desk.is_read_only).ok()?;
        tools.into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        match tools::find(&request.name) {
            None => {
                let error = format!("there is no tool called {}", request.name);
                return Err(ErrorData::invalid_params(error, None));
            }
            Some(false) if self.desk.is_read_only => {
                let error = format!(
                    "{} changes something, and this server is read-only",
                    request.name
                );
                return Err(ErrorData::invalid_params(error, None));
            }
            Some(_) => {}
        }
        let arguments = request.arguments.unwrap_or_default();
        let told = verbs::call(&self.desk, &request.name, arguments).await;
        Ok(told.into_result().into())
    }
}
