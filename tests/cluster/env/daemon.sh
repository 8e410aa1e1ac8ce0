#!/usr/bin/env bash
# daemon.sh start|stop etcd|kube-apiserver|kube-controller-manager|kube-scheduler
# The daemons of the control plane, one by one: a test takes the API server away and gives it back.
source "$(dirname "$0")/env.sh"
pid_file=$RUN/pids/$2

# Sets `command` to what runs daemon $1.
command_of() {
  local pki=$RUN/pki
  case $1 in
  etcd) command=(etcd --data-dir "$RUN/etcd" --unsafe-no-fsync --log-level warn) ;;
  # Aggregator routing: webhooks are called at their pods' addresses, since no kube-proxy runs here.
  kube-apiserver) command=(kube-apiserver --etcd-servers http://127.0.0.1:2379 --advertise-address "$API"
    --service-cluster-ip-range "$SERVICE_CIDRS" --allow-privileged --authorization-mode Node,RBAC
    --enable-admission-plugins NodeRestriction --enable-aggregator-routing
    --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" --client-ca-file "$pki/ca.crt"
    --kubelet-client-certificate "$pki/admin.crt" --kubelet-client-key "$pki/admin.key"
    --kubelet-preferred-address-types InternalIP
    --service-account-issuer https://kubernetes.default.svc.cluster.local
    --service-account-key-file "$pki/service-account.key" --service-account-signing-key-file "$pki/service-account.key") ;;
  kube-controller-manager) command=(kube-controller-manager --kubeconfig "$pki/controller-manager.conf"
    --leader-elect=false --root-ca-file "$pki/ca.crt" --service-account-private-key-file "$pki/service-account.key"
    --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key"
    --use-service-account-credentials) ;;
  kube-scheduler) command=(kube-scheduler --kubeconfig "$pki/scheduler.conf" --leader-elect=false) ;;
  *) die "the control plane has no daemon '$1'" ;;
  esac
}

command_of "$2"
case $1 in
start)
  setsid nsenter --net="/run/netns/$CP" "$BIN/${command[0]}" "${command[@]:1}" >>"$RUN/log/$2.log" 2>&1 </dev/null &
  echo $! >"$pid_file"
  ;;
stop)
  ended() { [[ ! -d /proc/$(<"$pid_file") ]]; }
  kill -KILL "$(<"$pid_file")" 2>/dev/null || true # as a crash would; asked politely, the API server takes a minute
  wait_for 10 "the end of $2" ended
  rm "$pid_file"
  ;;
*) die "usage: daemon.sh start|stop DAEMON" ;;
esac
