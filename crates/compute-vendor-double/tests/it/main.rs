//! The double, through real HTTP.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a helper that cannot do its part fails the test"
)]

mod ocean;
mod wire;

use compute_outbound::{
    Answer, BearerToken, Method, OutboundClient, OutboundConfig, OutboundError, OutboundRequest,
};
use compute_vendor_double::digitalocean::{Habits, Handle, Options, spawn};
use serde_json::{Value, json};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINpTe+fd5AlbelHggfQ/iFZkdh+HskGVsA5XgweP5Tzi";

struct Cloud {
    double: Handle,
    client: OutboundClient,
}

async fn start(habits: Habits) -> Cloud {
    let options = Options {
        habits,
        ..Options::default()
    };
    let double = spawn(options).await.unwrap();
    let config = OutboundConfig {
        bearer: Some(BearerToken::parse("test-token".into()).unwrap()),
        ..OutboundConfig::new(double.url())
    };
    let client = OutboundClient::new(&config).unwrap();
    Cloud { double, client }
}

impl Cloud {
    async fn try_send(
        &self,
        method: Method,
        path: &str,
        query: &[(&'static str, &str)],
        body: Option<Value>,
    ) -> Result<Answer, OutboundError> {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let mut request = OutboundRequest::new(method, &segments);
        for (name, value) in query {
            request = request.query(name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body).unwrap();
        }
        self.client.send(request).await
    }

    async fn get(&self, path: &str, query: &[(&'static str, &str)]) -> (u16, Value) {
        let answer = self.try_send(Method::GET, path, query, None).await.unwrap();
        (answer.status.as_u16(), answer.json().unwrap_or_default())
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let answer = self.try_send(Method::POST, path, &[], Some(body)).await;
        let answer = answer.unwrap();
        (answer.status.as_u16(), answer.json().unwrap_or_default())
    }

    async fn delete(&self, path: &str) -> u16 {
        let answer = self.try_send(Method::DELETE, path, &[], None).await;
        answer.unwrap().status.as_u16()
    }

    /// The ids of a list of droplets.
    async fn listed(&self, query: &[(&'static str, &str)]) -> Vec<u64> {
        let (status, list) = self.get("/v2/droplets", query).await;
        assert_eq!(status, 200, "{list}");
        let droplets = list["droplets"].as_array().unwrap();
        droplets
            .iter()
            .map(|it| it["id"].as_u64().unwrap())
            .collect()
    }
}

fn droplet(name: &str) -> Value {
    json!({
        "name": name, "region": "nyc3", "size": "s-1vcpu-1gb", "image": "debian-12-x64",
        "tags": ["fleet", "op:1"],
    })
}
