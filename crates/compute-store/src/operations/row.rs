//! Rows of operations and of their logs.

use compute_domain::instance::FailureCode;
use compute_domain::operation::{
    OPERATION_FORMAT, Operation, OperationData, OperationKind, OperationState, Progress, Step,
};
use compute_domain::time::Timestamp;
use compute_engine::ports::{Event, StoreError};

use crate::row::{RowName, millis, moment};
use crate::statement::rejected;

#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct OperationRow {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) format: i64,
    pub(super) owner_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) state: String,
    pub(super) step: Option<String>,
    pub(super) begun_at: Option<i64>,
    pub(super) attempt: Option<i64>,
    pub(super) run_at: Option<i64>,
    pub(super) data: String,
    pub(super) request_sha256: Vec<u8>,
    pub(super) failure_code: Option<String>,
    pub(super) settlement_unknown_since: Option<i64>,
    pub(super) hold_released_at: Option<i64>,
    pub(super) lease_epoch: i64,
    pub(super) created_at: i64,
    pub(super) finished_at: Option<i64>,
}

impl OperationRow {
    pub(super) fn of(operation: &Operation, lease_epoch: i64) -> Result<Self, StoreError> {
        let (step, progress, code) = match &operation.state {
            OperationState::Running(progress) => (Some(progress.step), Some(progress), None),
            OperationState::Succeeded => (None, None, None),
            OperationState::Failed { code } => (None, None, Some(*code)),
            OperationState::Stuck { code, step } => (Some(*step), None, Some(*code)),
        };
        Ok(Self {
            id: operation.id.to_string(),
            kind: operation.kind.to_string(),
            format: i64::from(OPERATION_FORMAT),
            owner_id: operation.owner.to_string(),
            instance_id: operation.instance.map(|id| id.to_string()),
            state: operation.state.name().to_owned(),
            step: step.map(|step| step.to_string()),
            begun_at: millis(progress.and_then(|progress| progress.begun_at)),
            attempt: progress.map(|progress| i64::from(progress.attempt)),
            run_at: progress.map(|progress| progress.run_at.millis()),
            data: serde_json::to_string(&operation.data).map_err(rejected)?,
            request_sha256: operation.request_digest.to_vec(),
            failure_code: code.map(|code| code.to_string()),
            settlement_unknown_since: millis(operation.data.settlement_unknown_since),
            hold_released_at: millis(operation.data.hold_released_at),
            lease_epoch,
            created_at: operation.created_at.millis(),
            finished_at: millis(operation.finished_at),
        })
    }

    pub(super) fn parse(self) -> Result<Operation, StoreError> {
        let name = RowName::new("operations", &self.id);
        let data: OperationData = name.check("data", serde_json::from_str(&self.data))?;
        if millis(data.settlement_unknown_since) != self.settlement_unknown_since {
            return Err(name.bad("settlement_unknown_since"));
        }
        if millis(data.hold_released_at) != self.hold_released_at {
            return Err(name.bad("hold_released_at"));
        }
        let instance = self.instance_id.as_deref();
        let instance = instance.map(|id| name.text("instance_id", id));
        Ok(Operation {
            id: name.text("id", &self.id)?,
            kind: name.present("kind", OperationKind::parse(&self.kind))?,
            owner: name.text("owner_id", &self.owner_id)?,
            instance: instance.transpose()?,
            state: self.parse_state(&name)?,
            data,
            request_digest: name.digest("request_sha256", &self.request_sha256)?,
            created_at: Timestamp::from_millis(self.created_at),
            finished_at: moment(self.finished_at),
        })
    }

    /// Exactly the columns that a state needs are filled.
    fn parse_state(&self, name: &RowName) -> Result<OperationState, StoreError> {
        let step = self
            .step
            .as_deref()
            .map(|text| name.present("step", Step::parse(text)));
        let code = self.failure_code.as_deref();
        let code = code.map(|text| name.present("failure_code", FailureCode::parse(text)));
        let progress = (self.attempt, self.run_at, self.begun_at);
        match (
            self.state.as_str(),
            step.transpose()?,
            code.transpose()?,
            progress,
        ) {
            ("running", Some(step), None, (Some(attempt), Some(run_at), begun_at)) => {
                Ok(OperationState::Running(Progress {
                    step,
                    begun_at: moment(begun_at),
                    attempt: name.number("attempt", attempt)?,
                    run_at: Timestamp::from_millis(run_at),
                }))
            }
            ("succeeded", None, None, (None, None, None)) => Ok(OperationState::Succeeded),
            ("failed", None, Some(code), (None, None, None)) => Ok(OperationState::Failed { code }),
            ("stuck", Some(step), Some(code), (None, None, None)) => {
                Ok(OperationState::Stuck { code, step })
            }
            _ => Err(name.bad("state")),
        }
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct EventRow {
    seq: i64,
    at: i64,
    holder: String,
    name: String,
    detail: String,
}

impl EventRow {
    pub(super) fn into_event(self) -> Event {
        Event {
            seq: self.seq,
            at: Timestamp::from_millis(self.at),
            holder: self.holder,
            name: self.name,
            detail: self.detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> OperationRow {
        OperationRow {
            id: "00000000-0000-0000-0000-000000000001".into(),
            kind: "provision".into(),
            format: 1,
            owner_id: "00000000-0000-0000-0000-000000000002".into(),
            instance_id: Some("00000000-0000-0000-0000-000000000003".into()),
            state: "running".into(),
            step: Some("settle".into()),
            begun_at: None,
            attempt: Some(0),
            run_at: Some(1),
            data: "{}".into(),
            request_sha256: vec![7; 32],
            failure_code: None,
            settlement_unknown_since: None,
            hold_released_at: None,
            lease_epoch: 1,
            created_at: 1,
            finished_at: None,
        }
    }

    fn check_bad(change: impl FnOnce(&mut OperationRow), detail: &str) {
        let mut row = row();
        change(&mut row);
        match row.parse() {
            Err(StoreError::Inconsistent {
                table: "operations",
                detail: found,
            }) => {
                assert_eq!(
                    found,
                    format!("{detail} of 00000000-0000-0000-0000-000000000001")
                );
            }
            other => panic!("{detail}: {other:?}"),
        }
    }

    #[test]
    fn a_good_row_parses_and_prints_back() {
        let operation = row().parse().unwrap();
        let again = OperationRow::of(&operation, 1).unwrap().parse().unwrap();
        assert_eq!(again, operation);
        let topup = OperationRow {
            kind: "topup".into(),
            instance_id: None,
            ..row()
        };
        assert_eq!(topup.parse().unwrap().instance, None);
    }

    #[test]
    fn values_outside_the_domain_are_inconsistent() {
        check_bad(|row| row.kind = "dance".into(), "kind");
        check_bad(|row| row.step = Some("dance".into()), "step");
        check_bad(|row| row.data = "[".into(), "data");
        check_bad(|row| row.data = r#"{"looks": -1}"#.into(), "data");
        check_bad(|row| row.request_sha256 = vec![7; 31], "request_sha256");
        check_bad(|row| row.attempt = Some(-1), "attempt");
        check_bad(
            |row| row.settlement_unknown_since = Some(1),
            "settlement_unknown_since",
        );
        check_bad(|row| row.hold_released_at = Some(1), "hold_released_at");
        check_bad(|row| row.instance_id = Some("x".into()), "instance_id");
    }

    #[test]
    fn columns_that_do_not_fit_the_state_are_inconsistent() {
        check_bad(|row| row.state = "asleep".into(), "state");
        check_bad(|row| row.state = "succeeded".into(), "state");
        check_bad(|row| row.step = None, "state");
        check_bad(|row| row.run_at = None, "state");
        check_bad(|row| row.failure_code = Some("not_ready".into()), "state");
    }
}
