"""Style and script of the lineage page, without any library; colours follow the reader's light or dark setting.

The script groups points by recipe, stage and name. A group is one box until it is opened; of more than MOST points
stages are shown first (recipes, where there are more stages than that). Columns are depths, so that inputs are to the
left; in a column boxes stand near what they are tied to.
"""

STYLE = """
main{max-width:none;padding-bottom:1.5rem}
#bar{display:flex;flex-wrap:wrap;gap:.5rem;align-items:center}
#bar input{flex:1 1 15rem;max-width:26rem;padding:.45rem .7rem}
#bar input,#bar button,#open button,#list button{font:inherit;color:inherit;background:var(--card);
border-radius:.45rem}
#bar input,#bar button,#open button{border:1px solid var(--line)}
#bar ::placeholder{color:var(--soft);opacity:1}
#bar button{padding:.45rem .75rem;cursor:pointer}
#bar button:hover,#open button:hover{border-color:var(--accent)}
#hits{color:var(--soft);font-size:.93rem}
#list{list-style:none;margin:.4rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.3rem}
#list button,#open button{font-size:.87rem;padding:.25rem .6rem;cursor:pointer;border:1px solid var(--line)}
#list button{max-width:100%;overflow-wrap:anywhere;text-align:left}
#open{display:flex;flex-wrap:wrap;gap:.3rem;margin:.5rem 0 0;font-size:.87rem;color:var(--soft);align-items:center}
#frame{height:max(22rem,calc(100vh - 17rem));border:1px solid var(--line);border-radius:.7rem;margin:.6rem 0}
#frame{background:var(--card);overflow:hidden;cursor:grab;touch-action:none}
#frame svg{width:100%;height:100%}
:root{--edge:#b6bec9}@media(prefers-color-scheme:dark){:root{--edge:#465060}}
.e{fill:none;stroke:var(--edge)}
.n{cursor:pointer;outline:none}
.n rect{fill:var(--page);stroke:var(--line);stroke-width:1.5}
.n:hover rect,.n:focus-visible rect{stroke:var(--accent)}
.n.checkpoint rect{stroke:var(--accent)}
.n.gone rect{stroke-dasharray:4 3}
.n.chosen rect{stroke:var(--accent);stroke-width:4}
.n text{font:600 12.5px ui-sans-serif,system-ui,sans-serif;fill:var(--ink)}
.n text.what{font-weight:400;font-size:11.5px;fill:var(--soft)}
.n text.plus{font-size:15px;fill:var(--accent);text-anchor:middle}
svg.picked .n,svg.picked .e{opacity:.16}
svg.picked .n.on{opacity:1}
svg.picked .e.on{opacity:1;stroke:var(--accent)}
.n.picked rect{stroke:var(--accent);stroke-width:3.5}
.n.hit rect{fill:var(--tint);stroke:var(--accent);stroke-width:2.5}
#told{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.15rem 1rem;margin:1rem 0}
#told dt{color:var(--soft)}#told dd{margin:0;overflow-wrap:anywhere}
@media(max-width:30rem){#bar input{flex-basis:100%}#frame{height:60vh}
#list{flex-wrap:nowrap;overflow-x:auto}#list li{flex:none}}

"""

SCRIPT = """
const MOST=200,W=216,H=44,ACROSS=286,DOWN=58,BEND=18,SWEEPS=4,LISTED=8,LETTERS=27;
const el=id=>document.getElementById(id),svg=el('graph'),frame=el('frame');
const {fields,points,edges,roles,chosen}=JSON.parse(el('data').textContent);
const P=points.map(row=>Object.fromEntries(fields.map((f,k)=>[f,row[k]])));
const up=P.map(()=>[]),down=P.map(()=>[]),from=P.map(()=>[]);
edges.forEach(([a,b,r])=>{up[b].push(a);down[a].push(b);from[b].push(`${roles[r]}: ${P[a].name}`)});
const esc=t=>String(t).replace(/[&<>"]/g,c=>({'&':'&amp;','<':'&lt;','>':'&gt;','"':'&quot;'}[c]));
const many=(n,what)=>`${n.toLocaleString('en')} ${what}${n===1?'':'s'}`;

// Groups: a recipe, a stage, a name;
// one that holds a single thing, or all there is, or the same as the next, is none.
const groups=new Map();
const keys=P.map(p=>{const s=p.name.split('/');return[s[0],s.slice(0,2).join('/'),p.name].map((k,l)=>`${l}:${k}`)});
keys.forEach((ks,i)=>ks.forEach((k,l)=>{if(!groups.has(k))groups.set(k,{key:k,level:l,name:k.slice(2),members:[]});
  groups.get(k).members.push(i)}));
const size=k=>groups.get(k).members.length;
const chain=keys.map(ks=>ks.filter((k,l)=>size(k)>1&&size(k)<P.length&&(l===2||size(k)!==size(ks[l+1]))));
const real=new Set(chain.flat());
const open=new Set();
const holder=i=>{for(const k of chain[i])if(!open.has(k))return k;return i};
const boxesNow=()=>new Set(P.map((_,i)=>holder(i))).size;
function start(few){open.clear();
  const of=l=>[...real].filter(k=>groups.get(k).level<=l);
  if(few)of(2).forEach(k=>open.add(k));
  else{of(0).forEach(k=>open.add(k));if(boxesNow()>MOST)open.clear()}}

// What is seen: boxes by key (a group's, or a point's number) and the lines between them.
let boxes=new Map(),lines=[],whole={w:1,h:1};
function seen(){
  boxes=new Map();const where=P.map((_,i)=>holder(i)),between=new Map();
  where.forEach((k,i)=>{if(!boxes.has(k))boxes.set(k,{key:k,members:[],near:[[],[]]});boxes.get(k).members.push(i)});
  edges.forEach(([a,b])=>{const x=where[a],y=where[b];if(x===y)return;
    const k=`${x} ${y}`,l=between.get(k);if(l)l.times++;else between.set(k,{a:boxes.get(x),b:boxes.get(y),times:1})});
  lines=[...between.values()]}
function layout(){
  const all=[...boxes.values()];
  all.forEach(b=>{b.deep=b.members.reduce((s,i)=>s+P[i].depth,0)/b.members.length;b.first=b.members[0];b.room=DOWN});
  all.sort((a,b)=>a.deep-b.deep||a.first-b.first);all.forEach((b,i)=>{b.rank=i;b.column=0;b.bends=new Map()});
  const above=new Map(all.map(b=>[b,[]]));lines.forEach(l=>above.get(l.b).push(l.a));
  all.forEach(b=>above.get(b).forEach(a=>{if(a.rank<b.rank)b.column=Math.max(b.column,a.column+1)}));
  const columns=[];all.forEach(b=>(columns[b.column]??=[]).push(b));
  const tie=(a,b)=>{a.near[1].push(b);b.near[0].push(a)};
  lines.forEach(l=>{let last=l.a;  // long lines of one box go side by side with boxes, in a way that they share
    for(let c=l.a.column+1;c<l.b.column;c++){let d=l.a.bends.get(c);
      if(!d){d={column:c,rank:l.a.rank,near:[[],[]],room:BEND};l.a.bends.set(c,d);columns[c].push(d);tie(last,d)}
      last=d}
    tie(last,l.b)});
  const stand=c=>{let y=-c.reduce((s,b)=>s+b.room,0)/2;c.forEach(b=>{b.mid=y+b.room/2;y+=b.room})};
  columns.forEach(stand);
  for(let s=0;s<SWEEPS;s++)for(const c of s%2?[...columns].reverse():columns){
    c.forEach(b=>{const n=b.near[s%2];b.wish=n.length?n.reduce((t,x)=>t+x.mid,0)/n.length:b.mid});
    c.sort((a,b)=>a.wish-b.wish||a.rank-b.rank);stand(c)}
  const placed=columns.flat(),top=Math.min(...placed.map(b=>b.mid-b.room/2));
  placed.forEach(b=>{b.x=20+b.column*ACROSS;b.mid+=20-top;b.y=b.mid-H/2});
  whole={w:Math.max(...all.map(b=>b.x))+W+20,h:Math.max(...placed.map(b=>b.mid))+H/2+20}}
const shared=new Set(P.map(p=>p.name.split('/')[0]+'/')),common=shared.size===1?[...shared][0]:'';
const cut=t=>{t=t.startsWith(common)?t.slice(common.length):t;return t.length<=LETTERS?t:'…'+t.slice(1-LETTERS)};
function lineOf(l){let x=l.a.x+W,y=l.a.mid,path=`M${x} ${y}`;
  const to=(u,v)=>{const bend=Math.max(30,Math.abs(u-x)/2);path+=`C${x+bend} ${y} ${u-bend} ${v} ${u} ${v}`;x=u;y=v};
  for(let c=l.a.column+1;c<l.b.column;c++){const d=l.a.bends.get(c);to(d.x,d.mid);x=d.x+W;path+=`H${x}`}
  to(l.b.x,l.b.mid);
  return`<path class="e" stroke-width="${Math.min(4,1.2+Math.log10(l.times)/2)}" d="${path}"/>`}
function boxOf(b){
  const group=groups.get(b.key),p=P[b.members[0]],mine=b.members.includes(chosen)?' chosen':'';
  const names=group?new Set(b.members.map(i=>P[i].name)).size:0;
  const name=group?group.name:p.name,same=size(keys[b.members[0]][2])>1?' · '+p.digest.slice(0,8):'';
  const what=group?(names>1?many(names,'name')+', ':'')+many(b.members.length,'content'):
    (p.kind==='gone'?'gone':`${p.table||p.step}, ${p.holds}`)+same;
  const kinds=new Set(b.members.map(i=>P[i].kind)),kind=kinds.size===1?[...kinds][0]:'dataset';
  const under=group?`<rect x="5" y="5" width="${W}" height="${H}" rx="7"/>`:'';
  const sign=group?`<text class="plus" x="${W-15}" y="28">+</text>`:'';
  return`<g class="n ${kind}${group?' group':''}${mine}" data-k="${esc(b.key)}" tabindex="0" role="button" `+
    `transform="translate(${b.x} ${b.y})"><title>${esc(name)}</title>${under}<rect width="${W}" height="${H}
" rx="7"/>`+
    `<text x="10" y="19">${esc(cut(name))}</text><text class="what" x="10" y="35">${esc(what.slice(0,LETTERS+6))}
</text>`+
    `${sign}</g>`}
let shown=new Map();
function draw(){
  seen();layout();
  svg.innerHTML=lines.map(lineOf).join('')+[...boxes.values()].map(boxOf).join('');
  shown=new Map();svg.querySelectorAll('.n').forEach(n=>shown.set(boxes.get(keyOf(n)),n));
  svg.querySelectorAll('.e').forEach((e,i)=>{lines[i].e=e});
  pick(picked);mark();chips()}
const keyOf=n=>boxes.has(n.dataset.k)?n.dataset.k:Number(n.dataset.k);

// The part of the drawing that is in the frame.
let view={x:0,y:0,w:1,h:1};
const look=()=>svg.setAttribute('viewBox',`${view.x} ${view.y} ${view.w} ${view.h}`);
function fit(){view={x:0,y:0,w:whole.w,h:whole.h};look()}
function centre(b){const r=frame.getBoundingClientRect(),k=Math.min(1.6,Math.max(1,view.w/r.width));
  const w=Math.max(r.width,280)*k,h=w*r.height/r.width,keep=(v,most)=>most>0?Math.min(Math.max(v,0),most):most/2;
  view={x:keep(b.x+W/2-w/2,whole.w-w),y:keep(b.mid-h/2,whole.h-h),w,h};look()}
function begin(){const r=frame.getBoundingClientRect();view.w=1;
  if(whole.w>1.7*r.width||whole.h>1.7*r.height)centre(boxes.get(holder(chosen)));else fit()}
const scale=()=>Math.max(view.w/frame.clientWidth,view.h/frame.clientHeight);
const at=(x,y)=>new DOMPoint(x,y).matrixTransform(svg.getScreenCTM().inverse());
function zoom(p,k){view={x:p.x-(p.x-view.x)*k,y:p.y-(p.y-view.y)*k,w:view.w*k,h:view.h*k};look()}
const middle=()=>({x:view.x+view.w/2,y:view.y+view.h/2});
frame.addEventListener('wheel',e=>{e.preventDefault();zoom(at(e.clientX,e.clientY),Math.exp(e.deltaY*.0015))},
  {passive:false});
const held=new Map();let moved=false;
frame.addEventListener('pointerdown',e=>{if(!held.size)moved=false;held.set(e.pointerId,[e.clientX,e.clientY])});
window.addEventListener('pointermove',e=>{
  const was=held.get(e.pointerId);if(!was)return;
  const x=e.clientX-was[0],y=e.clientY-was[1];
  if(!moved&&Math.abs(x)+Math.abs(y)<4)return;moved=true;
  const other=[...held].find(([id])=>id!==e.pointerId)?.[1];
  if(other){const far=(p,q)=>Math.hypot(p[0]-q[0],p[1]-q[1])||1;
    zoom(at(...other),far(was,other)/far([e.clientX,e.clientY],other))}
  else{const s=scale();view.x-=x*s;view.y-=y*s;look()}
  held.set(e.pointerId,[e.clientX,e.clientY])});
for(const end of['pointerup','pointercancel'])window.addEventListener(end,e=>held.delete(e.pointerId));
frame.addEventListener('keydown',e=>{const step=view.w/10,
  k={ArrowLeft:[-1,0],ArrowRight:[1,0],ArrowUp:[0,-1],ArrowDown:[0,1]}[e.key],n=e.target.closest('.n');
  if(k){view.x+=k[0]*step;view.y+=k[1]*step;look();e.preventDefault()}
  else if(e.key==='+')zoom(middle(),.8);else if(e.key==='-')zoom(middle(),1.25);else if(e.key==='Escape')pick(null);
  else if(e.key==='Enter'&&n)choose(keyOf(n))});

// Opening a group, and what is up- and downstream of a point.
let picked=null;
function choose(k){if(typeof k==='number')pick(k);else unfold(k)}
function unfold(k){open.add(k);draw();centre(boxes.get(holder(groups.get(k).members[0])))}
function show(i){chain[i].forEach(k=>open.add(k));draw();centre(boxes.get(i));pick(i)}
function reach(i,next){const all=new Set([i]),stack=[i];
  while(stack.length)for(const j of next[stack.pop()])if(!all.has(j)){all.add(j);stack.push(j)}return all}
function pick(i){
  picked=i;el('told').replaceChildren();svg.classList.toggle('picked',i!==null);
  if(i===null){shown.forEach(n=>n.classList.remove('picked'));return}
  const sides=[reach(i,up),reach(i,down)],lit=sides.map(s=>new Set([...s].map(holder)));
  shown.forEach((n,b)=>{n.classList.toggle('on',lit.some(s=>s.has(b.key)));
    n.classList.toggle('picked',b.key===holder(i))});
  lines.forEach(l=>l.e.classList.toggle('on',lit.some(s=>s.has(l.a.key)&&s.has(l.b.key))));
  const facts={...P[i],'made from':from[i].join(', '),upstream:sides[0].size-1,downstream:sides[1].size-1};
  delete facts.depth;
  for(const[k,v]of Object.entries(facts)){if(v==='')continue;
    const t=document.createElement('dt'),d=document.createElement('dd');t.textContent=k;d.textContent=v;
    el('told').append(t,d)}}
function chips(){
  const list=[...open].filter(k=>real.has(k)&&!first.has(k));el('open').replaceChildren();
  if(list.length)el('open').append('opened:');
  list.forEach(k=>{const b=document.createElement('button');b.type='button';b.textContent=`${groups.get(k).name} ×`;
    b.addEventListener('click',()=>{open.delete(k);draw();const i=groups.get(k).members[0];
      centre(boxes.get(holder(i)))});el('open').append(b)})}
svg.addEventListener('click',e=>{if(moved)return;const n=e.target.closest('.n');if(n)choose(keyOf(n));
else pick(null)});

// Search: among all points, opened or not.
const words=P.map((p,i)=>[...Object.values(p),...from[i]].join(' ').toLowerCase());
let found=[],turn=0;
function mark(){const hit=new Set(found.map(holder));shown.forEach((n,b)=>n.classList.toggle('hit',hit.has(b.key)))}
el('find').addEventListener('input',()=>{
  const q=el('find').value.trim().toLowerCase();turn=0;found=q?words.flatMap((w,i)=>w.includes(q)?[i]:[]):[];mark();
  found.sort((a,b)=>!P[a].name.toLowerCase().includes(q)-!P[b].name.toLowerCase().includes(q)||
    P[a].name.length-P[b].name.length);
  el('hits').textContent=q?many(found.length,'hit')+(found.length?', Enter goes through them':''):'';
  el('list').replaceChildren(...found.slice(0,LISTED).map(i=>{const item=document.createElement('li'),
    b=document.createElement('button');b.type='button';b.textContent=`${P[i].name} ${P[i].digest.slice(0,8)}`;
    b.addEventListener('click',()=>show(i));item.append(b);return item}))});
el('bar').addEventListener('submit',e=>{e.preventDefault();if(!found.length)return;
  const k=turn++%found.length;show(found[k]);el('hits').textContent=`${k+1} of ${found.length.toLocaleString('en')}`}
);
el('fit').addEventListener('click',()=>{pick(null);fit()});
el('home').addEventListener('click',()=>show(chosen));
el('all').addEventListener('click',()=>{real.forEach(k=>open.add(k));draw();begin()});
el('fold').addEventListener('click',()=>{start(false);picked=null;first=new Set(open);draw();begin()});
el('in').addEventListener('click',()=>zoom(middle(),.75));el('out').addEventListener('click',()=>zoom(middle(),1.34));
start(P.length<=MOST);let first=new Set(open);draw();begin();
"""
