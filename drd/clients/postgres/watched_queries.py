"""What a server that is watched is asked."""

from typing import Final

# The timeline is told as in `drd.clients.postgres.server`. What the role may not see comes as NULL.
LOOK: Final = """
SELECT system.system_identifier::text AS cluster,
       pg_is_in_recovery() AS is_standby,
       pg_postmaster_start_time()::text AS started,
       CASE WHEN pg_is_in_recovery()
            THEN greatest(control.timeline_id, recovery.min_recovery_end_timeline, receiver.received_tli)
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::int
       END AS timeline,
       CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
            ELSE pg_current_wal_flush_lsn() END::text AS safe,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END::text AS replayed,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END AS is_paused,
       CASE WHEN pg_is_in_recovery() THEN receiver.pid IS NOT NULL END AS is_receiving,
       extract(epoch FROM clock_timestamp() - receiver.last_msg_receipt_time)::float8 AS heard_seconds_ago,
       receiver.conninfo AS conninfo,
       current_setting('primary_slot_name') AS slot,
       current_setting('cluster_name') AS cluster_name,
       (SELECT setting::float8 / 1000 FROM pg_settings WHERE name = 'recovery_min_apply_delay') AS delay_seconds,
       (SELECT setting::float8 / 1000 FROM pg_settings WHERE name = 'wal_retrieve_retry_interval') AS retry_seconds,
       (SELECT setting::float8 / 2000 FROM pg_settings WHERE name = 'wal_receiver_timeout') AS asks_after_seconds,
       current_setting('restore_command', true) AS restore_command,
       current_setting('synchronous_standby_names') AS synchronous_standby_names,
       pg_has_role('pg_read_all_stats', 'USAGE') AS sees_all
FROM pg_control_system() AS system, pg_control_checkpoint() AS control, pg_control_recovery() AS recovery
LEFT JOIN pg_stat_wal_receiver AS receiver ON true
"""
# Whatever is none of the words for a `synchronous_commit` that waits lets commits go without: PostgreSQL keeps what was
# typed, in any spelling. With remote_write a commit is lost only where the standby's machine goes down as well.
PRIMARY: Final = """
SELECT (SELECT coalesce(json_agg(json_build_array(
            application_name, sync_state IN ('sync', 'quorum'),
            pg_wal_lsn_diff(pg_current_wal_flush_lsn(), flush_lsn)::bigint)), '[]')
        FROM pg_stat_replication WHERE state <> 'backup') AS peers,
       (SELECT coalesce(json_agg(json_build_array(
            slot_name, active, pg_wal_lsn_diff(pg_current_wal_flush_lsn(), restart_lsn)::bigint,
            wal_status = 'lost') ORDER BY slot_name), '[]')
        FROM pg_replication_slots WHERE NOT temporary) AS slots,
       (SELECT coalesce(array_agg(DISTINCT coalesce(host(client_addr), 'local')), '{}') FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> 'drd') AS clients,
       (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start)), 0)::float8 FROM pg_stat_activity
        WHERE wait_event = 'SyncRep') AS longest_wait,
       (SELECT coalesce(array_agg(DISTINCT coalesce(rolname::text, datname::text, 'every role')), '{}')
        FROM pg_db_role_setting AS given LEFT JOIN pg_roles AS r ON r.oid = given.setrole
        LEFT JOIN pg_database AS d ON d.oid = given.setdatabase
        WHERE EXISTS (SELECT FROM unnest(setconfig) AS said
                      WHERE lower(split_part(said, '=', 1)) = 'synchronous_commit' AND lower(split_part(said, '=', 2))
                            NOT IN ('on', 'true', 'yes', '1', 'remote_write', 'remote_apply'))) AS lowered_by,
       setting.reset_val NOT IN ('on', 'remote_write', 'remote_apply') AS is_lowered,
       setting.source IN ('database', 'user', 'database user', 'client') AS is_hidden
FROM pg_settings AS setting WHERE setting.name = 'synchronous_commit'
"""
# The heartbeat's row changes in place, also on a disk that is full. This makes a file in the data directory and removes
# it again at once, needs no right, and leaves nothing in the server's log or statistics.
ROOM: Final = "SELECT pg_export_snapshot()"
MAY_ASK_FOR_ROOM: Final = "SELECT has_function_privilege('pg_export_snapshot()', 'EXECUTE') AS may_ask"
BEATS: Final = """
SELECT daemon, term, extract(epoch FROM clock_timestamp() - written)::float8 AS age
FROM drd.heartbeat WHERE policy = %s ORDER BY written DESC LIMIT 10
"""
