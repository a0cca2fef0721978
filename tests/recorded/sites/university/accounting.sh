sacctmgr -i add qos part_gpu MaxTRESPerUser=gres/gpu=8,gres/gpu:a100=8,cpu=128,node=4 MaxTRESPerAccount=gres/gpu=24 MaxJobsPerUser=20 MaxSubmitJobsPerUser=200
sacctmgr -i add qos long Priority=10 MaxWall=14-00:00:00 MaxTRESPerUser=gres/gpu=4
sacctmgr -i add account science Description=science Organization=uni fairshare=100
sacctmgr -i add account physics parent=science Description=physics Organization=uni fairshare=30 GrpTRES=gres/gpu=32,mem=4T
sacctmgr -i add account lasers parent=physics Description=lasers Organization=uni GrpTRES=gres/gpu:a100=16 GrpJobs=100
sacctmgr -i add account ultrafast parent=lasers Description=ultrafast Organization=uni MaxJobs=10 MaxWall=2-00:00:00
sacctmgr -i add account chemistry parent=science Description=chemistry Organization=uni fairshare=parent
sacctmgr -i add user ann account=ultrafast qos=normal,long
sacctmgr -i add user bob account=ultrafast qos=normal
sacctmgr -i add user chen account=chemistry qos=normal
sacctmgr -i add user chen account=physics qos=normal,long
sacctmgr -i add user eve account=chemistry partition=gpu qos=normal MaxJobs=2
sacctmgr -i add coordinator account=ultrafast names=ann
sacctmgr -i add coordinator account=science names=chen
