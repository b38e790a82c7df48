module servers

go 1.27

require (
	github.com/gorilla/websocket v1.5.0
	go.etcd.io/bbolt v1.3.6
)

require golang.org/x/sys v0.3.0 // indirect
