//! Which function answers: one for each method and path, and one for all other paths, if that is wanted.

use crate::exchange::Exchange;
use crate::refused::Refused;
use std::io;

type Handler = Box<dyn Fn(&mut Exchange) -> io::Result<()> + Send + Sync>;

struct Route {
    method: &'static str,
    path: &'static str,
    handler: Handler,
}

/// The routes of a server. GET answers HEAD as well.
#[derive(Default)]
pub struct Router {
    routes: Vec<Route>,
    others: Option<Handler>,
}

impl Router {
    /// `handler` answers GET (and HEAD) of this path.
    pub fn get<F>(self, path: &'static str, handler: F) -> Router
    where
        F: Fn(&mut Exchange) -> io::Result<()> + Send + Sync + 'static,
    {
        self.route("GET", path, handler)
    }

    /// `handler` answers POST to this path.
    pub fn post<F>(self, path: &'static str, handler: F) -> Router
    where
        F: Fn(&mut Exchange) -> io::Result<()> + Send + Sync + 'static,
    {
        self.route("POST", path, handler)
    }

    fn route<F>(mut self, method: &'static str, path: &'static str, handler: F) -> Router
    where
        F: Fn(&mut Exchange) -> io::Result<()> + Send + Sync + 'static,
    {
        self.routes.push(Route { method, path, handler: Box::new(handler) });
        self
    }

    /// `handler` answers GET (and HEAD) of every path that has no route.
    pub fn others<F>(mut self, handler: F) -> Router
    where
        F: Fn(&mut Exchange) -> io::Result<()> + Send + Sync + 'static,
    {
        self.others = Some(Box::new(handler));
        self
    }

    pub(crate) fn call(&self, x: &mut Exchange) -> io::Result<()> {
        let head = x.head();
        let method = if head.is_head() { "GET" } else { head.method() };
        // There are few routes: they are looked through.
        if let Some(route) = self.routes.iter().find(|r| head.is_path(r.path) && r.method == method) {
            return (route.handler)(x);
        }
        match (self.routes.iter().find(|r| head.is_path(r.path)), &self.others) {
            (None, Some(others)) if method == "GET" => others(x),
            (None, None) => Err(Refused(404, "there is nothing here").into()),
            (known, _) => {
                let allowed = known.map_or("GET", |r| r.method);
                x.field("allow", if allowed == "GET" { "GET, HEAD" } else { allowed });
                Err(Refused(405, "not in this way").into())
            }
        }
    }
}
