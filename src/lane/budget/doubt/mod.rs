//! Whether a doubtful answer is due to one record or to the whole account, and what that does to the budget. The budget and
//! the scheduler ask, at answers. Pure; must not know how calls are planned.

pub(in crate::lane) mod attribution;
pub(in crate::lane) mod doubtful_answers;
pub(in crate::lane) mod success_history;
