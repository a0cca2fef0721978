sacctmgr -i add qos teaching MaxTRESPerUser=gres/shard=2,cpu=8,mem=32G MaxJobsPerUser=2 MaxSubmitJobsPerUser=4
sacctmgr -i add qos research MaxTRESPerAccount=gres/gpu:v100=12 Flags=DenyOnLimit
sacctmgr -i add qos emergency Priority=1000 Preempt=normal
sacctmgr -i add account students Description=students Organization=lab fairshare=10
sacctmgr -i add account staff Description=staff Organization=lab fairshare=90
sacctmgr -i add user ann,bob account=students GrpTRES=gres/gpu=8
sacctmgr -i add user chen,eve account=staff GrpTRES=gres/gpu=8 qos=normal,emergency
sacctmgr -i add coordinator account=staff names=chen
