//! End-to-end tests: the real daemon, the real `couicctl`, real frames. One binary, so that linking is paid once.

mod lab;
